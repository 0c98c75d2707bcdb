import { randomUUID } from "node:crypto";
import type { Aedes, AedesPublishPacket } from "aedes";
import type { Clock } from "../../../protocol/index.ts";
import type { Outbound, Outcome } from "../connector.ts";
import type { Link } from "./link.ts";
import type { Retained } from "./retained.ts";

/** How long a subscriber's PUBACK may take. */
const ackTimeoutMs = 30_000;

interface Underway {
  readonly expected: ReadonlySet<Link>;
  readonly acknowledged: (link: Link) => void;
  /** Where it is awaited, to be forgotten with it. */
  readonly sent: { readonly link: Link; readonly packetId: number }[];
}

type Forwarded = Pick<AedesPublishPacket, "qos" | "retain" | "brokerCounter"> & { clientId?: string; messageId?: number };

/**
 * Messages to clients of the embedded broker. aedes tells nobody when a subscriber acknowledges, so the packet ids of what it forwards
 * are given out here, and the PUBACK is matched to the delivery.
 */
export class Outbox {
  readonly #broker: Aedes;
  readonly #links: () => Iterable<Link>;
  readonly #retained: Retained;
  readonly #clock: Clock;
  readonly #underway = new Map<string, Underway>();
  // in the place of the publishing client's id; unguessable, so that no client can take a delivery's name
  readonly #prefix = `plantgate-delivery-${randomUUID()}-`;
  #count = 0;

  constructor(broker: Aedes, links: () => Iterable<Link>, retained: Retained, clock: Clock) {
    this.#broker = broker;
    this.#retained = retained;
    this.#links = links;
    this.#clock = clock;
  }

  /**
   * Done when each subscriber that is connected at QoS 1 has acknowledged. Nobody connected: `retry`, for the gateway's queue outlives
   * a restart and this broker's memory does not; but a retained message, and one at QoS 0, is done when the broker has it.
   */
  async deliver(message: Extract<Outbound, { kind: "topic" }>, signal: AbortSignal): Promise<Outcome> {
    const { topic, body, qos, retain } = message;
    if (retain && body.byteLength > 0 && !this.#retained.hasRoom(topic, body.byteLength))
      return { kind: "retry", reason: "there is no room for another retained message" };
    const receivers = [...this.#links()].filter(({ isReady, session }) => isReady && session.qosOf(topic) !== undefined);
    if (receivers.length === 0 && qos > 0 && !retain)
      return { kind: "retry", reason: `nobody who is connected has subscribed to ${topic}` };
    const expected = new Set(qos === 0 ? [] : receivers.filter(({ session }) => (session.qosOf(topic) ?? 0) > 0));
    const failure = await this.#publish(message, expected, signal);
    if (failure) return failure;
    return { kind: "done", detail: `${receivers.length} of the connected clients got it` };
  }

  /**
   * aedes is about to forward a packet to a client: gives it a packet id, and ties that to the delivery it belongs to. One that is sent
   * again keeps the packet id that it had.
   */
  forward(link: Link, packet: Forwarded): void {
    if (packet.qos === 0 || packet.messageId !== undefined) return;
    const packetId = link.nextPacketId();
    packet.messageId = packetId;
    const delivery = packet.clientId === undefined ? undefined : this.#underway.get(packet.clientId);
    if (!delivery?.expected.has(link)) return;
    delivery.sent.push({ link, packetId });
    link.awaiting.set(packetId, () => delivery.acknowledged(link));
  }

  /** A client sent PUBACK or PUBCOMP. */
  acknowledged(link: Link, packetId: number): void {
    const acknowledge = link.awaiting.get(packetId);
    link.awaiting.delete(packetId);
    acknowledge?.();
  }

  #publish(
    message: Extract<Outbound, { kind: "topic" }>,
    expected: Set<Link>,
    signal: AbortSignal,
  ): Promise<Outcome | undefined> {
    const { topic, body, qos, retain } = message;
    const id = `${this.#prefix}${++this.#count}`;
    const over = new AbortController();
    const sent: Underway["sent"] = [];
    const result = new Promise<Outcome | undefined>((resolve) => {
      let written = false;
      const check = (): void => {
        if (written && expected.size === 0) resolve(undefined);
      };
      this.#underway.set(id, {
        expected,
        sent,
        acknowledged: (link) => {
          expected.delete(link);
          check();
        },
      });
      const gone = (): void => resolve({ kind: "unknown", reason: "a subscriber's connection ended before it acknowledged" });
      for (const link of expected) link.closed.addEventListener("abort", gone, { once: true, signal: over.signal });
      void this.#clock.sleep(ackTimeoutMs, AbortSignal.any([signal, over.signal])).then(() => {
        resolve({
          kind: "unknown",
          reason: signal.aborted
            ? "stopped while waiting for a subscriber's acknowledgement"
            : "a subscriber did not acknowledge in time",
        });
      });
      const packet = { cmd: "publish" as const, topic, payload: Buffer.from(body), qos, retain, dup: false, clientId: id };
      this.#broker.publish(packet, (error) => {
        if (error) resolve({ kind: "refused", reason: error.message });
        written = true;
        check();
      });
    });
    return result.finally(() => {
      over.abort();
      this.#underway.delete(id);
      for (const { link, packetId } of sent) link.awaiting.delete(packetId);
    });
  }
}
