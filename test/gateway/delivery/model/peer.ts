import type { Connector, ConnectorDeps, Outbound, Outcome, Verdict } from "../../../../gateway/connector/connector.ts";
import { toInstant } from "../../../../protocol/index.ts";

/** What becomes of one call. `silent`: done or not, and never answered. `says`: the receiver's own answer, after so long; null: none. */
export type Fate =
  | { readonly kind: "done"; readonly ms: number; readonly says: number | null; readonly yes: boolean }
  | { readonly kind: "busy" | "refused"; readonly ms: number }
  | { readonly kind: "silent"; readonly ms: number; readonly effect: boolean }
  | { readonly kind: "away" };

/** One call, as the receiver saw it. */
export interface Call {
  readonly message: Outbound;
  /** Real time, in ms, machines' pauses included. */
  readonly at: number;
  readonly effect: boolean;
}

const calm: Fate = { kind: "done", ms: 5, says: 20, yes: true };

/** The system behind one connector: it outlives every gateway. It is consistent: what it did it does not refuse later. */
export class Peer {
  readonly name: string;
  readonly calls: Call[] = [];
  /** Its own word about a message, the same however often it is asked; it is given on the `accepted` topic. */
  readonly words = new Map<string, boolean>();
  /** Messages that it does not get through: how it takes each of them. */
  readonly poison = new Map<string, "busy" | "away" | "refused">();
  /** What it refused at once. */
  readonly refused = new Set<string>();
  readonly #trueNow: () => number;
  readonly #say: (peer: Peer, message: Outbound, afterMs: number) => void;
  fates: readonly Fate[] = [];
  /** Whether it can be asked for each next `verify`. */
  asked: readonly boolean[] = [];
  up = true;
  #next = 0;
  #nextAsked = 0;

  constructor(name: string, trueNow: () => number, say: (peer: Peer, message: Outbound, afterMs: number) => void) {
    this.name = name;
    this.#trueNow = trueNow;
    this.#say = say;
  }

  script(fates: readonly Fate[], asked: readonly boolean[]): void {
    this.fates = fates;
    this.asked = asked;
    this.#next = 0;
    this.#nextAsked = 0;
  }

  did(messageId: string): boolean {
    return this.calls.some(({ effect, message }) => effect && message.event.id === messageId);
  }

  call(message: Outbound): { readonly outcome: Outcome; readonly ms: number } {
    const { id } = message.event;
    if (!this.up) return this.#seen(message, false, { kind: "retry", reason: "it is away" }, 1);
    const how = this.poison.get(id);
    if (how === "busy") return this.#seen(message, false, { kind: "retry", reason: "it cannot take this" }, 3);
    if (how === "away") return this.#seen(message, false, { kind: "retry", reason: "it breaks off", unanswered: true }, 3);
    const fate = how === "refused" ? ({ kind: "refused", ms: 3 } as const) : (this.fates[this.#next++] ?? calm);
    switch (fate.kind) {
      case "away":
        return this.#seen(message, false, { kind: "retry", reason: "no connection", unanswered: true }, 1);
      case "busy":
        return this.#seen(message, false, { kind: "retry", reason: "503" }, fate.ms);
      case "silent": {
        const effect = fate.effect && this.words.get(id) !== false;
        if (effect) this.words.set(id, true);
        return this.#seen(message, effect, { kind: "unknown", reason: "no answer in time", unanswered: true }, fate.ms);
      }
      case "refused":
        if (this.did(id)) return this.#seen(message, false, { kind: "done" }, fate.ms);
        this.refused.add(id);
        return this.#seen(message, false, { kind: "refused", reason: "422" }, fate.ms);
      case "done": {
        const yes = message.kind !== "topic" || (this.words.get(id) ?? (this.did(id) || fate.yes));
        if (message.kind === "topic") this.words.set(id, yes);
        if (message.kind === "topic" && fate.says !== null) this.#say(this, message, fate.says);
        return this.#seen(message, yes, { kind: "done" }, fate.ms);
      }
    }
  }

  verify({ event }: Outbound): Verdict {
    if (!this.up || this.asked[this.#nextAsked++] === false) return { kind: "cannot-tell", reason: "it does not answer" };
    return { kind: this.did(event.id) ? "done" : "not-done" };
  }

  #seen(message: Outbound, effect: boolean, outcome: Outcome, ms: number) {
    this.calls.push({ message, at: this.#trueNow(), effect });
    return { outcome, ms };
  }
}

/** One gateway's connector to a peer; what it was told is lost with its process. */
export class PeerConnector implements Connector {
  readonly deps: ConnectorDeps;
  readonly #peer: Peer;
  readonly #isDead: () => boolean;

  constructor(deps: ConnectorDeps, peer: Peer, isDead: () => boolean) {
    this.deps = deps;
    this.#peer = peer;
    this.#isDead = isDead;
  }
  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  report() {
    const { name, config } = this.deps;
    return {
      name,
      kind: config.type,
      state: this.#peer.up ? ("up" as const) : ("down" as const),
      since: toInstant(0),
      connects: 1,
    };
  }

  deliver(message: Outbound, signal: AbortSignal): Promise<Outcome> {
    const { outcome, ms } = this.#peer.call(message);
    return this.#later(ms, signal, outcome, { kind: "unknown", reason: "the gateway is stopping" });
  }

  verify(message: Outbound, signal: AbortSignal): Promise<Verdict> {
    return this.#later(1, signal, this.#peer.verify(message), { kind: "cannot-tell", reason: "the gateway is stopping" });
  }

  #later<Value>(ms: number, signal: AbortSignal, value: Value, stopped: Value): Promise<Value> {
    return new Promise((resolve) => {
      const end = (how: Value): void => {
        if (!this.#isDead()) resolve(how);
      };
      if (signal.aborted) return end(stopped);
      setTimeout(() => end(value), ms);
      signal.addEventListener("abort", () => end(stopped), { once: true });
    });
  }
}
