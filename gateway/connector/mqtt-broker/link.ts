import { topicMatches } from "../../../protocol/index.ts";
import type { Input } from "../connector.ts";
import type { Done, IntakeLine } from "../mqtt/intake-line.ts";
import type { SocketFilter } from "../mqtt/socket-filter.ts";
import type { User } from "./users.ts";

/** One authenticated connection. */
export class Link {
  readonly clientId: string;
  readonly user: User;
  readonly #line: IntakeLine;
  readonly #gate: SocketFilter;
  /** Topic filter → QoS. */
  readonly subscriptions = new Map<string, number>();
  /** Deliveries that this client has yet to acknowledge, by packet id. */
  readonly awaiting = new Map<number, () => void>();
  readonly closed: AbortSignal;
  /** It began a clean session, and what an earlier one left unreleased is yet to be forgotten. */
  leavesPast: boolean;
  /** Messages at QoS 1 sent and not acknowledged. */
  unacknowledged = 0;
  #lastPacketId = 0;

  constructor(client: { id: string; clean: boolean }, user: User, gate: SocketFilter, line: IntakeLine, closed: AbortSignal) {
    this.clientId = client.id;
    this.leavesPast = client.clean;
    this.user = user;
    this.#gate = gate;
    this.#line = line;
    this.closed = closed;
  }

  /** A message of this client, on its way to the disk in the order in which they came; as {@link IntakeLine.take}. */
  take(input: Input, done: Done, before?: () => Promise<void>): void {
    const sizeBytes = input.body.byteLength;
    this.#gate.taken(sizeBytes);
    const settle: Done = (error) => {
      this.#gate.released(sizeBytes);
      done(error);
    };
    this.#line.take(input, settle, before);
  }

  /** At which QoS this client gets a topic; undefined: not at all. Of several subscriptions the weakest counts. */
  qosOf(topic: string): number | undefined {
    let weakest: number | undefined;
    for (const [filter, qos] of this.subscriptions) if (topicMatches(filter, topic)) weakest = Math.min(weakest ?? 2, qos);
    return weakest;
  }

  nextPacketId(): number {
    do this.#lastPacketId = (this.#lastPacketId % 65_535) + 1;
    while (this.awaiting.has(this.#lastPacketId) && this.awaiting.size < 65_535);
    return this.#lastPacketId;
  }
}
