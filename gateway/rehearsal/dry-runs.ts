import { Worker } from "node:worker_threads";
import {
  type Bundle,
  backoff,
  type Clock,
  type DryRunAnswer,
  type DryRunCandidate,
  describeError,
  describeIssues,
  dryRunCandidate,
  dryRunType,
  hasDisposition,
  PlantgateError,
  parseJson,
} from "../../protocol/index.ts";
import { Wake } from "../delivery/wake.ts";
import { askedToWaitMs } from "../link/pauses.ts";
import type { Session } from "../link/session.ts";
import type { LinkAnswer, LinkRequest } from "../link/transport.ts";
import type { Logger } from "../telemetry/logger.ts";
import { workerUrl } from "../worker-url.ts";
import type { DryRunWork } from "./dry-run-worker.ts";

export interface DryRunsDeps {
  readonly site: string;
  readonly session: Pick<Session, "online" | "send">;
  /** @throws PlantgateError SIGNATURE_INVALID */
  readonly verify: (jws: string) => Promise<Uint8Array>;
  /** The configuration in effect. */
  readonly active: () => Bundle | undefined;
  /** Where the newest inputs lie, all that were noted before it was called. */
  readonly inputs: (messages: number) => Promise<DryRunWork["from"]>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of running inputs; {@link defaultLimitMs} where nothing is said. */
  readonly limitMs?: number;
}

const defaultLimitMs = 120_000;
/** What the thread may take beyond that, to begin and to end. */
const graceMs = 30_000;
/** Of a candidate that makes more and more of an input. */
const maxHeapMb = 256;
/** Asks that are remembered: central names one until it has the answer. */
const maxRemembered = 100;

type Fetched =
  | { readonly kind: "candidate"; readonly candidate: DryRunCandidate }
  | { readonly kind: "gone" }
  | (DryRunAnswer & { readonly kind?: undefined });

/**
 * Answers what central asks: one dry run after the other, each in a thread of its own that has nothing of what is live but a copy of its configuration
 * and of recorded inputs.
 */
export class DryRuns {
  readonly #deps: DryRunsDeps;
  readonly #wake = new Wake();
  readonly #waiting: string[] = [];
  /** In work, and answered. */
  readonly #known = new Set<string>();

  constructor(deps: DryRunsDeps) {
    this.#deps = deps;
  }

  /** Central asks for these; what is known is not begun again. */
  want(ids: readonly string[]): void {
    for (const id of ids) {
      if (this.#known.has(id)) continue;
      this.#known.add(id);
      this.#waiting.push(id);
    }
    for (const id of this.#known) {
      if (this.#known.size <= maxRemembered) break;
      if (!this.#waiting.includes(id)) this.#known.delete(id);
    }
    if (this.#waiting.length > 0) this.#wake.ring();
  }

  async run(signal: AbortSignal): Promise<void> {
    const delays = backoff({ baseMs: 1000, capMs: 30_000 });
    while (!signal.aborted) {
      const id = this.#waiting[0];
      if (id === undefined) {
        await this.#wake.wait(signal);
        continue;
      }
      try {
        await this.#answer(id, signal);
        this.#waiting.shift();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof PlantgateError) || error.disposition === "crash") throw error;
        this.#deps.log.debug({ event: "rehearsal.dryRun.delayed", id, reason: describeError(error) }, "central is asked again");
        await this.#deps.clock.sleep(askedToWaitMs(error) ?? delays.next().value, signal);
        // what central still asks for, it names again
        this.#waiting.shift();
        this.#known.delete(id);
      }
    }
  }

  async #answer(id: string, signal: AbortSignal): Promise<void> {
    const { log } = this.#deps;
    const fetched = await this.#fetch(id, signal);
    if (fetched === undefined || fetched.kind === "gone") return;
    const answer = fetched.kind === "candidate" ? await this.#run(fetched.candidate, signal) : fetched;
    if (signal.aborted) return;
    log.info(
      { event: "rehearsal.dryRun.ended", id, state: answer.state },
      "a candidate configuration was run on recorded inputs",
    );
    const told = await this.#send({ method: "POST", path: `${this.#path(id)}/result`, json: answer, silenceMs: 60_000 }, signal);
    // it was answered, or given up, meanwhile
    if (told?.kind === "problem" && told.problem.code !== "not-found" && told.problem.code !== "conflict") throw refused(told);
  }

  async #fetch(id: string, signal: AbortSignal): Promise<Fetched | undefined> {
    const answer = await this.#send({ method: "GET", path: `${this.#path(id)}/candidate`, silenceMs: 30_000 }, signal);
    if (!answer) return undefined;
    if (answer.kind === "problem") {
      if (answer.problem.code === "not-found") return { kind: "gone" };
      throw refused(answer);
    }
    const { body } = answer;
    const jws = typeof body === "object" && body !== null && "jws" in body ? String(body.jws) : "";
    try {
      return { kind: "candidate", candidate: await this.#judge(id, jws) };
    } catch (error) {
      if (!hasDisposition(error, "deny") && !hasDisposition(error, "reject")) throw error;
      const reason = describeError(error);
      this.#deps.log.warn({ event: "rehearsal.candidate.refused", id, reason }, "a candidate for a dry run was refused");
      return { state: "failed", reason: reason.slice(0, 4000) };
    }
  }

  /** @throws PlantgateError SIGNATURE_INVALID, CONFIG_INVALID */
  async #judge(id: string, jws: string): Promise<DryRunCandidate> {
    const payload = await this.#deps.verify(jws);
    if (typeOf(jws) !== dryRunType)
      throw new PlantgateError("SIGNATURE_INVALID", "what central sent is signed, but for something else than a dry run");
    const parsed = dryRunCandidate.safeParse(parseJson(Buffer.from(payload).toString("utf8")));
    if (!parsed.success)
      throw new PlantgateError("CONFIG_INVALID", `the candidate is not valid: ${describeIssues(parsed.error)}`);
    const candidate = parsed.data;
    if (candidate.id !== id) throw new PlantgateError("SIGNATURE_INVALID", `the candidate is of dry run "${candidate.id}"`);
    for (const site of [candidate.site, candidate.bundle.site])
      if (site !== this.#deps.site) throw new PlantgateError("SIGNATURE_INVALID", `the candidate is for site "${site}"`);
    return candidate;
  }

  async #run({ messages, bundle }: DryRunCandidate, signal: AbortSignal): Promise<DryRunAnswer> {
    const active = this.#deps.active();
    if (!active) return { state: "failed", reason: "no configuration is in effect to compare with" };
    const { site, inputs, limitMs = defaultLimitMs } = this.#deps;
    const candidate: Bundle = { ...bundle, revision: active.revision, createdAt: active.createdAt };
    const program = workerUrl("flow/expression-worker").href;
    const work: DryRunWork = { site, active, candidate, messages, from: await inputs(messages), limitMs, program };
    return runInThread(work, this.#deps.clock, signal);
  }

  async #send(request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer | undefined> {
    const online = await this.#deps.session.online(signal);
    return online && this.#deps.session.send(online.session, request, signal);
  }

  #path(id: string): string {
    return `/v1/sites/${encodeURIComponent(this.#deps.site)}/dry-runs/${encodeURIComponent(id)}`;
  }
}

/** Ends the thread when its time is up, when it needs too much memory, or with the signal. */
async function runInThread(work: DryRunWork, clock: Clock, signal: AbortSignal): Promise<DryRunAnswer> {
  const worker = new Worker(workerUrl("rehearsal/dry-run-worker"), {
    workerData: work,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
  });
  const over = new AbortController();
  try {
    return await new Promise<DryRunAnswer>((resolve) => {
      const failed = (reason: string): void => resolve({ state: "failed", reason });
      worker.once("message", (answer: DryRunAnswer) => resolve(answer));
      worker.once("error", (error) => failed(`the dry run was ended: ${describeError(error)}`));
      worker.once("exit", () => failed("the dry run ended without a result"));
      signal.addEventListener("abort", () => failed("the gateway stops"), { once: true, signal: over.signal });
      if (signal.aborted) failed("the gateway stops");
      void clock
        .sleep(work.limitMs + graceMs, over.signal)
        .then(() => failed(`it took longer than ${(work.limitMs + graceMs) / 1000} s`));
    });
  } finally {
    over.abort();
    await worker.terminate();
  }
}

/** @returns `typ` of its header, whose signature was verified */
function typeOf(jws: string): unknown {
  const header = parseJson(Buffer.from(jws.split(".")[0] ?? "", "base64url").toString("utf8"));
  return typeof header === "object" && header !== null && "typ" in header ? header.typ : undefined;
}

function refused(answer: Extract<LinkAnswer, { kind: "problem" }>): PlantgateError {
  const context = answer.retryAfterMs === undefined ? {} : { waitMs: answer.retryAfterMs };
  return new PlantgateError("PEER_BUSY", answer.problem.detail ?? answer.problem.title, { context });
}
