import { createHash } from "node:crypto";
import type { Client, PublishPacket } from "aedes";
import { backoff, type Clock, describeError, hasDisposition, PlantgateError, topicMatches } from "../../../protocol/index.ts";
import type { Inlet, Input, Wiring } from "../connector.ts";
import { type Done, IntakeLine, isStop } from "../mqtt/intake-line.ts";
import type { Link } from "./link.ts";
import { PacketIds } from "./packet-ids.ts";
import type { Refusals } from "./refusals.ts";
import type { Sessions } from "./sessions.ts";
import { TopicCache } from "./topic-cache.ts";
import type { User } from "./users.ts";

/** Characters of a topic (MQTT allows 65,535 bytes). */
export const maxTopicLength = 1024;
/** Wills that wait for the disk: nobody is read from less far because of them. */
const maxWills = { count: 1000, bytes: 4 * 1024 * 1024 };

/** open: no flow takes it, and who is connected decides. */
type Verdict = "refused" | "relayed" | "taken" | "open";

export interface PublicationsDeps {
  readonly inlet: Inlet;
  readonly wiring: Wiring;
  readonly relay: readonly string[];
  readonly sessions: Pick<Sessions, "hasSubscriber">;
  readonly refusals: Refusals;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * What devices publish, on its way to the queue.
 *
 * A topic that a flow takes is recorded. One that no flow takes is traffic between devices, forwarded and not recorded, while a client that
 * is connected has subscribed to it, or where the configuration says so (`relay`); else it is given to the queue as well, which keeps it
 * as a dead letter: an acknowledgement would say that somebody has it. A publish outside its user's grants: MQTT 3.1.1 (3.3.5) leaves
 * the choice between acknowledging it and closing, so QoS 1 and 2 close the connection; QoS 0 is dropped and logged.
 */
export class Publications {
  readonly #deps: PublicationsDeps;
  readonly #packetIds = new PacketIds();
  readonly #wills: IntakeLine;
  readonly #waitingWills = { count: 0, bytes: 0 };
  readonly #verdicts = new TopicCache<User, Verdict>();

  constructor(deps: PublicationsDeps) {
    this.#deps = deps;
    this.#wills = new IntakeLine(deps);
  }

  /**
   * Calls `done` when the message may be acknowledged and forwarded: it is flushed, or nothing of it is to be kept; with an error when
   * it must not be acknowledged and the connection has to end. Messages of a link are flushed in the order of the calls.
   */
  receive(client: Client, user: User, link: Link | undefined, packet: PublishPacket, done: (error?: Error) => void): void {
    const { refusals, signal } = this.#deps;
    if (signal.aborted) return done(new Error("the broker is stopping"));
    const verdict = this.#judge(user, packet.topic);
    if (verdict === "refused") return this.#refuse(user, packet, done);
    if (verdict === "relayed" || (verdict === "open" && this.#deps.sessions.hasSubscriber(packet.topic))) return done();
    // the will of a connection that has ended is nobody's to repeat, and has no packet id
    const isWill = client.closed || !link;
    const sentence = isWill
      ? "a will could not be kept and is lost; nobody was told that we had it"
      : "a message could not be kept; its sender was disconnected and keeps it";
    const taken: Done = (error) => {
      if (error === undefined) return done();
      const reason = describeError(error);
      if (!isStop(error)) refusals.note(sentence, { clientId: client.id, reason });
      done(error instanceof Error ? error : new Error(reason));
    };
    if (isWill) this.#takeWill(this.#inputOf(packet), taken);
    else this.#append(link, packet, taken);
  }

  /** The sender has PUBREC and lets go of a QoS 2 message. PUBCOMP lets it use the packet id again, so the marker has to be gone from the disk before. */
  async release(link: Link, packetId: number): Promise<void> {
    const { inlet, clock } = this.#deps;
    const marker = markerOf(link);
    const delays = backoff({ baseMs: 50, capMs: 2000 });
    while (!link.closed.aborted) {
      try {
        await inlet.release(marker, packetId);
        this.#packetIds.released(marker, packetId);
        return;
      } catch (error) {
        if (!hasDisposition(error, "shed")) throw error;
        await clock.sleep(delays.next().value, link.closed);
      }
    }
    throw new Error("the connection has ended");
  }

  #append(link: Link, packet: PublishPacket, done: Done): void {
    const { inlet } = this.#deps;
    const input = this.#inputOf(packet);
    const { messageId } = packet;
    if (packet.qos !== 2 || messageId === undefined) return link.take(input, done);
    const client = markerOf(link);
    const content = createHash("sha256").update(packet.topic).update("\0").update(input.body).digest("base64");
    link.take({ ...input, exactlyOnce: { client, packetId: messageId, content } }, done, async () => {
      if (link.leavesPast) await this.#leavePast(link, client);
      if (this.#packetIds.isNew(client, messageId, packet.dup === true, content)) await inlet.release(client, messageId);
      // noted before it is flushed: the same on a next connection may come while this one is still under way
      this.#packetIds.received(client, messageId, content);
    });
  }

  /** A clean session has no past (MQTT 3.1.1, 3.1.2.4): its first packet id is not the one that an earlier session left unreleased. */
  async #leavePast(link: Link, client: string): Promise<void> {
    await this.#deps.inlet.release(client);
    this.#packetIds.forget(client);
    link.leavesPast = false;
  }

  #takeWill(input: Input, done: Done): void {
    const waiting = this.#waitingWills;
    const bytes = input.body.byteLength;
    if (waiting.count >= maxWills.count || waiting.bytes + bytes > maxWills.bytes) {
      return done(new PlantgateError("QUEUE_FULL", "too many wills wait for room on the disk"));
    }
    waiting.count += 1;
    waiting.bytes += bytes;
    this.#wills.take(input, (error) => {
      waiting.count -= 1;
      waiting.bytes -= bytes;
      done(error);
    });
  }

  #inputOf(packet: PublishPacket): Input {
    const body = typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
    return { origin: { kind: "topic", topic: packet.topic, retained: false }, body, receivedAt: this.#deps.clock.now() };
  }

  #refuse(user: User, packet: PublishPacket, done: (error?: Error) => void): void {
    const why = packet.topic.length > maxTopicLength ? "a topic that is too long" : "a publish outside the user's grants";
    this.#deps.refusals.note(why, {
      user: user.name,
      topic: packet.topic.slice(0, 200),
      qos: packet.qos,
    });
    if (packet.qos > 0) return done(new Error("not allowed to publish there"));
    // to a topic that nobody can subscribe to: aedes offers no other way to drop one message
    packet.topic = "$refused";
    packet.retain = false;
    done();
  }

  /** What becomes of a topic follows from the configuration alone, and topics repeat. */
  #judge(user: User, topic: string): Verdict {
    if (topic.length > maxTopicLength) return "refused";
    const known = this.#verdicts.get(user, topic);
    if (known) return known;
    const otherwise = this.#deps.relay.some((filter) => topicMatches(filter, topic)) ? "relayed" : "open";
    const verdict = !user.mayPublish(topic) ? "refused" : this.#isTaken(topic) ? "taken" : otherwise;
    this.#verdicts.set(user, topic, verdict);
    return verdict;
  }

  #isTaken(topic: string): boolean {
    const { topics, answers } = this.#deps.wiring;
    return topics.some((source) => topicMatches(source.topic, topic)) || answers.some((filter) => topicMatches(filter, topic));
  }
}

/** Markers are a user's own: the same client id of another user is another client. */
function markerOf(link: Link): string {
  return `${link.user.name}/${link.clientId}`;
}
