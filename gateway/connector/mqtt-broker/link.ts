import type { Input } from "../connector.ts";
import type { Done, IntakeLine } from "../mqtt/intake-line.ts";
import type { Gate } from "./gate.ts";
import type { TimedClient } from "./hooks.ts";
import type { Session } from "./sessions.ts";
import type { User } from "./users.ts";

/** What a client may leave unread, and what each message that waits for it costs beside its bytes. */
const unread = { mostBytes: 16 * 1024 * 1024, perMessageBytes: 256 };

/** One authenticated connection. */
export class Link {
  readonly client: TimedClient;
  readonly session: Session;
  readonly #line: IntakeLine;
  readonly #gate: Gate;
  /** Deliveries that this client has yet to acknowledge, by packet id. */
  readonly awaiting = new Map<number, () => void>();
  readonly closed: AbortSignal;
  /** It began a clean session, and what an earlier one left unreleased is yet to be forgotten. */
  leavesPast: boolean;
  /** CONNACK is sent, and behind it what the client had not acknowledged: nothing new comes before that (MQTT 3.1.1, 3.2.0-1 and 4.4). */
  isReady = false;
  #lastCounter = 0;

  constructor(client: TimedClient, session: Session, gate: Gate, line: IntakeLine, closed: AbortSignal) {
    this.client = client;
    this.session = session;
    this.leavesPast = session.isClean;
    this.#gate = gate;
    this.#line = line;
    this.closed = closed;
  }

  get clientId(): string {
    return this.session.clientId;
  }

  get user(): User {
    return this.session.user;
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

  /** Whether a message was not forwarded just now: its filters are gone through one after the other. */
  isAnother({ brokerCounter }: { readonly brokerCounter: number }): boolean {
    if (brokerCounter === this.#lastCounter) return false;
    this.#lastCounter = brokerCounter;
    return true;
  }

  /** What lies here because the client does not read it; past the bound it is to be disconnected. */
  get unreadBytes(): number {
    return this.#gate.unsentBytes + this.client._pendingDrains.length * unread.perMessageBytes;
  }

  get doesNotRead(): boolean {
    this.#gate.account(this.session.outgoing.sizeBytes);
    return this.unreadBytes > unread.mostBytes;
  }

  /** What came for it while it was let in is sent, and what it sent behind CONNECT is read, from now on. */
  open(): void {
    this.isReady = true;
    // without a broker's name: aedes has counted it as sent already
    for (const packet of this.session.outgoing.unsent()) this.client.deliverQoS({ ...packet, brokerId: null }, () => {});
    this.#gate.open();
  }

  end(): void {
    this.#gate.destroy();
  }

  nextPacketId(): number {
    return this.session.outgoing.nextId((packetId) => this.awaiting.has(packetId));
  }
}
