import { createHash } from "node:crypto";
import {
  type Bundle,
  type Clock,
  type CompiledFlow,
  type LocalSource,
  type ShadowFlow,
  toInstant,
} from "../../protocol/index.ts";
import { differencesOf, type Made, type MadeMessage, type Pair, paired } from "./compare.ts";
import { clipped, Tally } from "./tally.ts";
import { takersOf } from "./way.ts";

type Verdict = "same" | "different" | "only-shadow" | "only-live" | "refused";

/** One message as a flow in shadow would have made it, for a person. */
export interface ShadowEntry {
  readonly at: string;
  readonly verdict: Verdict;
  readonly key: string;
  /** What it would have sent, or why it would have refused. */
  readonly would?: unknown;
  readonly differences?: readonly { readonly path: string; readonly before?: unknown; readonly after?: unknown }[];
}

/** What is known of a flow in shadow at its gateway. */
export interface ShadowView extends ShadowFlow {
  /** The last ones, newest first. */
  readonly recent: readonly ShadowEntry[];
}

/**
 * How what it would do is compared. `input`: with what the live flows made of the very same input. `window`: both read by themselves, so what they
 * made is held until the other side has it. `central`: with what the live flows do with the same message from central.
 */
type Kind = "input" | "window" | "central";

const maxRecent = 50;
const maxShownDifferences = 10;
/** Messages of one side that wait for the other one, and for how long. */
const maxWindow = 1000;
const windowMs = 10 * 60_000;

interface Stored {
  readonly identity: string;
  readonly view: ShadowView;
}

/** One flow in shadow: with which live flows it is compared, and what came of it. */
export class ShadowedFlow {
  readonly name: string;
  readonly kind: Kind;
  readonly against: readonly string[];
  /** Connectors that it sends to. */
  readonly targets: ReadonlySet<string>;
  readonly #clock: Clock;
  readonly #identity: string;
  readonly #since: string;
  readonly #counts: Pick<ShadowFlow, "same" | "different" | "onlyShadow" | "onlyLive" | "refused" | "skipped">;
  readonly #tally: Tally;
  readonly #window = new Map<string, Pair & { readonly until: number }>();
  /** What both had lately. */
  readonly #met = new Set<string>();
  #recent: ShadowEntry[];
  /** The last input that was refused, of a flow that asks for it again and again. */
  #refusedHash: string | undefined;

  /** @param stored as {@link state} said it, of whatever flow had the name */
  constructor(
    name: string,
    bundle: Bundle,
    compiled: ReadonlyMap<string, CompiledFlow>,
    clock: Clock,
    stored: string | undefined,
  ) {
    this.name = name;
    this.#clock = clock;
    const config = bundle.flows[name];
    this.kind = kindOf(compiled.get(name));
    this.against = liveFlowsOf(name, this.kind, bundle, compiled);
    this.targets = new Set((config?.to ?? []).flatMap((to) => ("connector" in to ? [to.connector] : [])));
    this.#identity = createHash("sha256")
      .update(JSON.stringify([name, ...this.against].map((flow) => [flow, bundle.flows[flow]])))
      .digest("hex");
    const before = parsed(stored);
    const view = before?.identity === this.#identity ? before.view : undefined;
    this.#since = view?.since ?? toInstant(clock.now());
    const { same = 0, different = 0, onlyShadow = 0, onlyLive = 0, refused = 0, skipped = 0 } = view ?? {};
    this.#counts = { same, different, onlyShadow, onlyLive, refused, skipped };
    this.#tally = new Tally(view);
    this.#recent = [...(view?.recent ?? [])];
  }

  skip(): void {
    this.#counts.skipped += 1;
  }

  /** The same input, or message from central, in both ways. */
  compare(live: Made, shadow: Made): void {
    if (this.#refuses(shadow) && shadow.messages.length === 0) return;
    for (const pair of paired(live.messages, shadow.messages)) this.#count(pair);
  }

  /** What a way of its own brought to one side. */
  meet(side: "before" | "after", made: Made, inputHash: string): void {
    if (side === "after" && made.refusals.length > 0) {
      if (this.#refusedHash === inputHash) return;
      this.#refusedHash = inputHash;
      this.#refuses(made);
    }
    for (const message of made.messages) {
      // both had it: the same is asked for again, as polls overlap
      if ("idempotencyKey" in message.value && this.#met.has(message.key)) continue;
      const pair = { ...this.#window.get(message.key), [side]: message };
      this.#window.delete(message.key);
      if (pair.before && pair.after) {
        this.#met.add(message.key);
        this.#count(pair);
      } else this.#window.set(message.key, { ...pair, until: this.#clock.monotonic() + windowMs });
    }
    this.#expire();
  }

  get view(): ShadowView {
    this.#expire();
    return {
      flow: this.name,
      against: [...this.against],
      since: this.#since,
      ...this.#counts,
      fields: this.#tally.fields,
      reasons: this.#tally.reasons,
      recent: this.#recent,
    };
  }

  /** For the next start. */
  get state(): string {
    return JSON.stringify({ identity: this.#identity, view: this.view } satisfies Stored);
  }

  #refuses({ refusals }: Made): boolean {
    const [first] = refusals;
    if (!first) return false;
    this.#counts.refused += 1;
    this.#tally.refuse(first);
    this.#note("refused", "", `${first.code}: ${first.reason.slice(0, 500)}`);
    return true;
  }

  #count(pair: Pair): void {
    const { before, after } = pair;
    const message = (after ?? before) as MadeMessage;
    if (!before || !after) {
      this.#counts[after ? "onlyShadow" : "onlyLive"] += 1;
      this.#note(after ? "only-shadow" : "only-live", message.key, after?.value);
      return;
    }
    const differences = differencesOf(pair);
    this.#counts[differences.length === 0 ? "same" : "different"] += 1;
    this.#tally.differ(differences);
    const shown = differences.slice(0, maxShownDifferences).map(({ path, ...sides }) => ({
      path: path.slice(0, 200),
      ...Object.fromEntries(Object.entries(sides).map(([side, value]) => [side, clipped(value, 200)])),
    }));
    this.#note(differences.length === 0 ? "same" : "different", message.key, after.value, shown);
  }

  #note(verdict: Verdict, key: string, would: unknown, differences: ShadowEntry["differences"] = []): void {
    const entry = {
      at: toInstant(this.#clock.now()),
      verdict,
      key: key.replace("\n", " ").slice(0, 600),
      ...(would === undefined ? {} : { would: clipped(would, 2048) }),
      ...(differences.length === 0 ? {} : { differences }),
    };
    this.#recent.unshift(entry);
    if (this.#recent.length > maxRecent) this.#recent.pop();
  }

  /** What the other side never had. */
  #expire(): void {
    const now = this.#clock.monotonic();
    for (const key of this.#met) {
      if (this.#met.size <= maxWindow) break;
      this.#met.delete(key);
    }
    for (const [key, pair] of this.#window) {
      if (pair.until > now && this.#window.size <= maxWindow) return;
      this.#window.delete(key);
      this.#count(pair);
    }
  }
}

function parsed(stored: string | undefined): Stored | undefined {
  try {
    return stored === undefined ? undefined : (JSON.parse(stored) as Stored);
  } catch {
    return undefined;
  }
}

function kindOf(flow: CompiledFlow | undefined): Kind {
  if (!flow || flow.central) return "central";
  return flow.sources.every(readsByItself) ? "window" : "input";
}

function readsByItself(source: LocalSource): boolean {
  return "poll" in source || "source" in source;
}

/** The live flows that do the same in another way: that take the same in, and make the same type of it; or that send it to the same connectors. */
function liveFlowsOf(name: string, kind: Kind, bundle: Bundle, compiled: ReadonlyMap<string, CompiledFlow>): string[] {
  const own = compiled.get(name);
  if (!own) return [];
  if (kind === "central") return [...new Set((own.central?.types ?? []).flatMap((type) => takersOf(bundle, type, "live")))];
  const connectors = new Set(own.sources.map(({ connector }) => connector));
  return [...compiled]
    .filter(([flow, { type }]) => bundle.flows[flow]?.mode === "live" && type !== undefined && type === own.type)
    .filter(([, { sources }]) =>
      sources.some((source) => connectors.has(source.connector) && readsByItself(source) === (kind === "window")),
    )
    .map(([flow]) => flow);
}
