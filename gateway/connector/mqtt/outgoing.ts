import type { IConnackPacket, MqttClient } from "mqtt";
import { type Clock, describeError } from "../../../protocol/index.ts";
import type { Outbound, Outcome } from "../connector.ts";
import { reasonOfCode } from "./reason.ts";

/** Publishes under way at once, at most; a broker may allow fewer (its Receive Maximum). */
const maxInFlight = 64;
/** How long a PUBACK may take. */
const ackTimeoutMs = 30_000;

type Topic = Extract<Outbound, { kind: "topic" }>;

export interface OutgoingDeps {
  readonly client: Pick<MqttClient, "publish">;
  readonly clock: Clock;
  /** The connection is there, and nothing ends it yet. */
  readonly isOpen: () => boolean;
  /** One acknowledgement did not come, and none of the others is awaited any more: the session has to end. */
  readonly onUnanswered: (reason: string) => void;
}

/**
 * What one session publishes. MQTT.js keeps a message until its PUBACK, and a broker that owes one owes it to the session: only a new
 * connection helps.
 *
 * taking → settling (an acknowledgement did not come: nothing more is taken, those on their way are awaited) → ended; taking → ended.
 */
export class Outgoing {
  readonly #deps: OutgoingDeps;
  readonly #ended = new AbortController();
  readonly #inFlight = new Set<(outcome: Outcome) => void>();
  readonly #forSlot: (() => void)[] = [];
  #mode: "taking" | "settling" | "ended" = "taking";
  #slots = maxInFlight;
  #limits: IConnackPacket["properties"];

  constructor(deps: OutgoingDeps) {
    this.#deps = deps;
  }

  /** What the broker said it takes. */
  limit(limits: IConnackPacket["properties"]): void {
    this.#limits = limits;
    this.#slots = Math.min(maxInFlight, limits?.receiveMaximum ?? maxInFlight);
  }

  get isTaking(): boolean {
    return this.#mode === "taking" && this.#deps.isOpen();
  }

  /** One publish. Without a connection nothing is kept here: the queue has it. */
  async publish(message: Topic, signal: AbortSignal): Promise<Outcome> {
    if (message.qos === 1 && !(await this.#slot(signal))) return { kind: "retry", reason: "the connection to the broker ended" };
    if (!this.isTaking) return this.#freeSlot(message, { kind: "retry", reason: "not connected to the broker" });
    const limit = this.#refusedByLimits(message);
    if (limit !== undefined) return this.#freeSlot(message, { kind: "refused", reason: limit });
    const outcome = await this.#send(message, signal);
    this.#freeSlot(message, outcome);
    if (this.#mode === "settling" && this.#inFlight.size === 0)
      this.#deps.onUnanswered(`the broker did not acknowledge a message within ${ackTimeoutMs / 1000} s`);
    return outcome;
  }

  /** The connection is gone. */
  end(): void {
    this.#mode = "ended";
    this.#ended.abort();
    // MQTT.js would keep them for a next connection of this client; there is none
    for (const settle of this.#inFlight)
      settle({ kind: "unknown", reason: "the connection ended before the broker acknowledged it" });
    this.#inFlight.clear();
  }

  async #send(message: Topic, signal: AbortSignal): Promise<Outcome> {
    const over = new AbortController();
    const outcome = await new Promise<Outcome>((resolve) => {
      this.#inFlight.add(resolve);
      const settle = (result: Outcome): void => {
        this.#inFlight.delete(resolve);
        resolve(result);
      };
      const body = Buffer.from(message.body.buffer, message.body.byteOffset, message.body.byteLength);
      this.#deps.client.publish(message.topic, body, { qos: message.qos, retain: message.retain }, (error) =>
        settle(outcomeOf(error)),
      );
      void this.#deps.clock.sleep(ackTimeoutMs, AbortSignal.any([signal, over.signal])).then(() => {
        if (over.signal.aborted) return;
        if (signal.aborted) return settle({ kind: "unknown", reason: "stopped while waiting for the broker's acknowledgement" });
        if (this.#mode === "taking") this.#mode = "settling";
        settle({ kind: "unknown", reason: "the broker did not acknowledge it in time" });
      });
    });
    over.abort();
    return outcome;
  }

  #refusedByLimits({ topic, body, qos, retain }: Topic): string | undefined {
    const limits = this.#limits;
    const sizeBytes = body.byteLength + Buffer.byteLength(topic) + 16;
    if (limits?.maximumPacketSize !== undefined && sizeBytes > limits.maximumPacketSize)
      return `larger than the ${limits.maximumPacketSize} bytes that the broker takes`;
    if (limits?.maximumQoS !== undefined && qos > limits.maximumQoS) return "the broker does not take QoS 1";
    if (limits?.retainAvailable === false && retain) return "the broker does not keep retained messages";
    return undefined;
  }

  #slot(signal: AbortSignal): Promise<boolean> {
    if (this.#ended.signal.aborted || signal.aborted) return Promise.resolve(false);
    if (this.#slots > 0) {
      this.#slots -= 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const leave = (): void => {
        const place = this.#forSlot.indexOf(enter);
        if (place >= 0) this.#forSlot.splice(place, 1);
        resolve(false);
      };
      const enter = (): void => {
        signal.removeEventListener("abort", leave);
        this.#ended.signal.removeEventListener("abort", leave);
        resolve(true);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#ended.signal.addEventListener("abort", leave, { once: true });
      this.#forSlot.push(enter);
    });
  }

  #freeSlot(message: Topic, outcome: Outcome): Outcome {
    if (message.qos === 1) {
      const next = this.#forSlot.shift();
      if (next) next();
      else this.#slots += 1;
    }
    return outcome;
  }
}

/** Reason codes of a PUBACK that say "not now": quota exceeded, packet identifier in use. */
const notNow = new Set([145, 151]);

function outcomeOf(error: unknown): Outcome {
  if (!error) return { kind: "done" };
  const code = (error as { code?: unknown }).code;
  if (typeof code === "number" && notNow.has(code)) return { kind: "retry", reason: reasonOfCode(code) };
  if (typeof code === "number" && code >= 0x80) return { kind: "refused", reason: reasonOfCode(code) };
  return { kind: "unknown", reason: describeError(error) };
}
