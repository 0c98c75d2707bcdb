import { createHash } from "node:crypto";
import type { Client, PublishPacket } from "aedes";
import { backoff, type Clock, describeError, hasDisposition, topicMatches } from "../../../protocol/index.ts";
import type { Inlet, Input, Wiring } from "../connector.ts";
import { type Done, IntakeLine, isStop } from "../mqtt/intake-line.ts";
import type { Link } from "./link.ts";
import { PacketIds } from "./packet-ids.ts";
import type { Refusals } from "./refusals.ts";
import type { User, Users } from "./users.ts";

/** Topics whose last message is kept for later subscribers, in memory. */
const maxRetainedTopics = 10_000;

/** Topics of a user that are judged once; a device that invents topics pays for it again. */
const maxVerdicts = 10_000;

type Verdict = "refused" | "forwarded" | "taken";

export interface PublicationsDeps {
  readonly inlet: Inlet;
  readonly wiring: Wiring;
  readonly users: Users;
  readonly refusals: Refusals;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * What devices publish, on its way to the queue.
 *
 * A topic that a flow takes is recorded. One that no flow takes but some user may subscribe to is traffic between devices: forwarded
 * and not recorded. A publish outside its user's grants: MQTT 3.1.1 (3.3.5) leaves the choice between acknowledging it and closing.
 * An acknowledgement would say that we have it, so QoS 1 and 2 close the connection; QoS 0 is dropped and logged.
 */
export class Publications {
  readonly #deps: PublicationsDeps;
  readonly #packetIds = new PacketIds();
  readonly #retainedTopics = new Set<string>();
  readonly #wills: IntakeLine;
  readonly #verdicts = new Map<User, Map<string, Verdict>>();

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
    this.#boundRetained(packet);
    if (verdict === "forwarded") return done();
    const taken: Done = (error) => {
      if (error === undefined) return done();
      const reason = describeError(error);
      if (!isStop(error))
        refusals.note("a message could not be kept; its sender was disconnected and keeps it", { clientId: client.id, reason });
      done(error instanceof Error ? error : new Error(reason));
    };
    // the will of a connection that has ended is nobody's to repeat, and has no packet id
    if (client.closed || !link) this.#wills.take(this.#inputOf(packet), taken);
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

  #inputOf(packet: PublishPacket): Input {
    const body = typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
    return { origin: { kind: "topic", topic: packet.topic, retained: false }, body, receivedAt: this.#deps.clock.now() };
  }

  #refuse(user: User, packet: PublishPacket, done: (error?: Error) => void): void {
    this.#deps.refusals.note("a publish outside the user's grants", {
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
    const verdicts = this.#verdicts.get(user) ?? new Map<string, Verdict>();
    const known = verdicts.get(topic);
    if (known) return known;
    const isOurs = this.#isTaken(topic) || !this.#deps.users.anyoneMayReceive(topic);
    const verdict = !user.mayPublish(topic) ? "refused" : isOurs ? "taken" : "forwarded";
    if (verdicts.size >= maxVerdicts) verdicts.clear();
    this.#verdicts.set(user, verdicts.set(topic, verdict));
    return verdict;
  }

  #isTaken(topic: string): boolean {
    const { topics, answers } = this.#deps.wiring;
    return topics.some((source) => topicMatches(source.topic, topic)) || answers.some((filter) => topicMatches(filter, topic));
  }

  #boundRetained(packet: PublishPacket): void {
    if (!packet.retain) return;
    if (!this.#deps.users.anyoneMayReceive(packet.topic)) packet.retain = false;
    else if (packet.payload.length === 0) this.#retainedTopics.delete(packet.topic);
    else if (this.#retainedTopics.has(packet.topic) || this.#retainedTopics.size < maxRetainedTopics)
      this.#retainedTopics.add(packet.topic);
    else {
      packet.retain = false;
      this.#deps.refusals.note("too many retained topics; this one is not kept for later subscribers", {
        most: maxRetainedTopics,
      });
    }
  }
}

/** Markers are a user's own: the same client id of another user is another client. */
function markerOf(link: Link): string {
  return `${link.user.name}/${link.clientId}`;
}
