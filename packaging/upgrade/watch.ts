import { whatIsMissing } from "../../gateway/upgrade/well.ts";
import type { Health, Trial } from "./records.ts";

/** A unit as its supervisor tells it. */
export interface UnitState {
  /** systemd's ActiveState. */
  readonly active: string;
  /** Names one run of the process; another one: it was started anew. */
  readonly invocation: string;
  /** How often it was started anew by itself. */
  readonly restarts: number;
  /** Why it ended, in systemd's word. */
  readonly result: string;
}

export interface Look {
  readonly unit: UnitState;
  /** Undefined: it does not answer. */
  readonly health: Health | undefined;
  /** By running time. */
  readonly at: number;
}

export type Verdict =
  | { readonly kind: "goes-on" }
  | { readonly kind: "well" }
  /** A person stopped it: nothing is told by that. */
  | { readonly kind: "stopped" }
  | { readonly kind: "unwell"; readonly reason: string };

const goesOn: Verdict = { kind: "goes-on" };

/**
 * Whether a version on trial does well: from the end of the watch on, at the first look at which it answers, the link that was online is, and
 * every connector that was up is. Unwell at any time: its process ended, was never ready, or another version answers; and after as long a time again
 * without such a look.
 */
export class Watch {
  readonly #trial: Pick<Trial, "version" | "watchMs" | "before">;
  /** The run that is watched, since when. */
  #run: { readonly invocation: string; readonly since: number } | undefined;
  #restarts: number | undefined;

  constructor(trial: Pick<Trial, "version" | "watchMs" | "before">) {
    this.#trial = trial;
  }

  judge({ unit, health, at }: Look): Verdict {
    const { version, watchMs } = this.#trial;
    const why = unit.result === "" || unit.result === "success" ? "" : ` (${unit.result})`;
    const isRestarted = unit.restarts > (this.#restarts ?? unit.restarts);
    this.#restarts = unit.restarts;
    if (unit.active === "failed") return unwell(`its process ended by itself${why}`);
    if (isRestarted) return unwell(this.#run ? `its process ended by itself${why}` : `it did not become ready${why}`);
    if (unit.active !== "active" && unit.active !== "reloading") {
      if (this.#run && why !== "") return unwell(`its process ended by itself${why}`);
      return unit.active === "inactive" || unit.active === "" ? { kind: "stopped" } : goesOn;
    }
    // another run, and not by the supervisor: a person restarted it
    if (this.#run?.invocation !== unit.invocation) this.#run = { invocation: unit.invocation, since: at };
    if (health?.version !== undefined && health.version !== version)
      return unwell(`version ${health.version} answers in its place`);
    const watchedMs = at - this.#run.since;
    if (watchedMs < watchMs) return goesOn;
    const reason = health ? whatIsMissing(this.#trial.before, health) : "it does not answer at its own address";
    if (reason === undefined) return { kind: "well" };
    // a link that blinks, or a central that is restarted with its gateways, is nobody's fault
    return watchedMs < 2 * watchMs ? goesOn : unwell(reason);
  }
}

function unwell(reason: string): Verdict {
  return { kind: "unwell", reason };
}
