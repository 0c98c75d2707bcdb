import type { Condition } from "../condition.ts";

type State = { readonly kind: "ok" } | { readonly kind: "degraded" | "down"; readonly reason: string };

/** The activity of a flow's poll. */
export function pollOf(flow: string): string {
  return `poll/${flow}`;
}

/** One connector does several things with its peer (asks its health, polls, sends): the worst of them is its condition. */
export class Standing {
  readonly #condition: Condition;
  readonly #states = new Map<string, State>();

  constructor(condition: Condition) {
    this.#condition = condition;
  }

  ok(activity: string): void {
    this.#set(activity, { kind: "ok" });
  }

  degraded(activity: string, reason: string): void {
    this.#set(activity, { kind: "degraded", reason });
  }

  down(activity: string, reason: string): void {
    this.#set(activity, { kind: "down", reason });
  }

  /** Whatever was said of an activity is over; nothing is said of one that nobody spoke of. */
  over(activity: string): void {
    if (this.#states.has(activity)) this.ok(activity);
  }

  /** The peer answered a delivery: that a poll could not reach it before keeps nothing from being sent. */
  answered(): void {
    for (const [activity, state] of this.#states)
      if (activity.startsWith(pollOf("")) && state.kind === "down") this.degraded(activity, state.reason);
  }

  #set(activity: string, state: State): void {
    if (this.#condition.state === "stopped") return;
    this.#states.set(activity, state);
    const states = [...this.#states.values()];
    const worst = states.find(({ kind }) => kind === "down") ?? states.find(({ kind }) => kind === "degraded");
    if (worst?.kind === "down") this.#condition.down(worst.reason);
    else if (worst?.kind === "degraded") this.#condition.degraded(worst.reason);
    else if (this.#condition.state === "degraded") this.#condition.recovered();
    else if (this.#condition.state !== "up") this.#condition.connected();
  }
}
