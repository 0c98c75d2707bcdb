import type { Bundle, ConnectorReport } from "../../protocol/index.ts";
import { changedConnectors } from "../connector/wiring.ts";
import { since, type Tally } from "../flow/tallies.ts";

/** How a gateway is, as far as a change of its configuration can be told by it. */
export interface Vitals {
  readonly connectors: readonly ConnectorReport[];
  /** Since the process began. */
  readonly tallies: readonly Tally[];
}

export interface WatchDeps {
  /** The last good one; undefined: this is the first, and there is no way back. */
  readonly good: Bundle | undefined;
  readonly watched: Bundle;
  /** Connectors that were down or degraded before the change. */
  readonly ailing: readonly string[];
  /** What was counted before the change. */
  readonly earlier: readonly Tally[];
  /** How it was when the revision came into effect, in this process. */
  readonly begun: Vitals;
  /** By running time. */
  readonly beganAt: number;
  readonly forMs: number;
  readonly maxDeadLetterShare: number;
}

export type Verdict =
  | { readonly kind: "goes-on" }
  | { readonly kind: "well" }
  | { readonly kind: "unwell"; readonly reason: string };

/** Fewer dead letters of one flow say little: one sender may have sent nonsense at just this time. */
const leastDeadLetters = 3;

/**
 * Whether a new revision does well (ADR 0087). Unwell: at the end, a connector that it changed or added and that is not up, unless that was down or
 * degraded before; at any time, a flow of which more becomes a dead letter than before, by more than the share that is allowed. What it did not change is no
 * reason, however ill that is.
 */
export class Watch {
  readonly #deps: WatchDeps;
  readonly #expected: readonly string[];

  constructor(deps: WatchDeps) {
    this.#deps = deps;
    const { good, watched, ailing } = deps;
    this.#expected = [...changedConnectors(good, watched)].filter((name) => !good?.connectors[name] || !ailing.includes(name));
  }

  /** How long it still takes, by running time. */
  leftMs(now: number): number {
    const { beganAt, forMs } = this.#deps;
    return Math.max(0, beganAt + forMs - now);
  }

  judge(vitals: Vitals, now: number): Verdict {
    const isOver = this.leftMs(now) === 0;
    const reason = this.#deps.good && (this.#moreDeadLetters(vitals) ?? (isOver ? this.#notUp(vitals) : undefined));
    if (reason !== undefined) return { kind: "unwell", reason };
    return { kind: isOver ? "well" : "goes-on" };
  }

  #moreDeadLetters({ tallies }: Vitals): string | undefined {
    const { earlier, begun, maxDeadLetterShare } = this.#deps;
    for (const tally of since(begun.tallies, tallies)) {
      if (tally.deadLetters < leastDeadLetters) continue;
      const before = earlier.find(({ of }) => of === tally.of);
      if (shareOf(tally) - shareOf(before) <= maxDeadLetterShare) continue;
      const whole = tally.recorded + tally.deadLetters;
      return `${tally.deadLetters} of ${whole} ${wordsFor(tally.of)} became dead letters, ${percent(shareOf(before))} before`;
    }
    return undefined;
  }

  #notUp({ connectors }: Vitals): string | undefined {
    const { good } = this.#deps;
    for (const name of this.#expected) {
      const report = connectors.find((each) => each.name === name);
      if (report?.state === "up") continue;
      const which = good?.connectors[name] ? "which it changed" : "which is new";
      const said = report?.reason === undefined ? "" : `: ${report.reason}`;
      return `the connector "${name}", ${which}, is ${report?.state ?? "gone"}${said}`;
    }
    return undefined;
  }
}

function shareOf(tally: Tally | undefined): number {
  if (!tally || tally.deadLetters === 0) return 0;
  return tally.deadLetters / (tally.recorded + tally.deadLetters);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function wordsFor(of: string): string {
  const [way, flow] = of.split(" ");
  if (flow === undefined) return "inputs that no flow takes";
  return `${way === "in" ? "inputs" : "deliveries"} of the flow "${flow}"`;
}
