import type { DiskState, EpochMs, ErrorCode, HoleReason, Lane } from "../../protocol/index.ts";

/** The lanes of the queue: those that go to central, and `inbound`, which came from there. */
export type QueueLane = Lane | "inbound";

/** One message to append: its line of NDJSON, without sequence and newline. */
export interface NewMessage {
  readonly lane: QueueLane;
  readonly line: string;
  /** (flow, idempotency key) and the hash of the raw input: a repeat is not appended again, other content is a conflict (rule 3). */
  readonly repeat?: { readonly key: string; readonly hash: string };
  /** The input it was made of, as an index into `Change.inputs`; kept beside the frame, in the plant. */
  readonly input?: number;
}

/** An input or message that cannot succeed, kept for a person. */
export interface DeadLetter {
  readonly id: string;
  readonly at: EpochMs;
  readonly direction: "in" | "out";
  readonly connector: string;
  readonly flow?: string;
  /** Where it came from or was going, for a person: a topic, path, item or destination. */
  readonly place: string;
  readonly code: ErrorCode;
  readonly reason: string;
  /** The raw bytes as received (in), or the message (out). */
  readonly body: Uint8Array;
  readonly attempts: number;
  /** Type and ordering key of the message, where it was one already. */
  readonly type?: string;
  readonly key?: string;
}

/**
 * Where a delivery stands. `waiting`: not tried, or to be tried again. `intent`: an attempt that may have an effect began (rule 8).
 * `sent`: the transport took it, the receiver's own yes is awaited. `unknown`: a person decides. `parked`: its attempts are used up,
 * a person decides. Both hold their key.
 */
export type DeliveryState = "waiting" | "intent" | "sent" | "unknown" | "parked";

export interface NewDelivery {
  readonly connector: string;
  readonly flow: string;
  /** The destination as its flow names it (`describeDestination`): a later configuration may have it at another place, or not at all. */
  readonly target: string;
  readonly key: string;
  readonly line: string;
  readonly type: string;
  readonly messageId: string;
  /** Of a state: the ordering key of which only the newest counts. */
  readonly stateKey?: string;
  readonly createdAt: EpochMs;
  /** Running time, in ms, that it had waited before it was written here; its deadline counts it. Undefined: nobody can tell. */
  readonly waitedMs: number | undefined;
  /** The machine was restarted since `waitedMs` was known: what it waited from `centralAt` on is not in it. */
  readonly restarted?: boolean;
  /** Until when `waitedMs` counts, by central's clock, where there was a link: tells its age after a restart of the machine (rule 10). */
  readonly centralAt?: EpochMs;
  /** Its effect may be there already: it is checked, or shown, before it is sent (rule 8). */
  readonly again: boolean;
}
export interface Delivery extends NewDelivery {
  readonly id: number;
  readonly state: DeliveryState;
  readonly attempts: number;
  /** Attempts that failed although the receiver was up: what uses a flow's `retry.attempts` up. */
  readonly failures: number;
  readonly reason: string | null;
  /** Running time since it was written here; absent where the machine was restarted in between, so that nobody can tell (rule 10). */
  readonly ageMs?: number;
}

/** Who brought an input. */
export interface Sender {
  readonly connector: string;
  readonly flow?: string;
  readonly place: string;
  readonly receivedAt: EpochMs;
}

/**
 * What one transaction writes, all or nothing. Many changes share one flush; each is applied whole and in the order in which it was given.
 * Unless a message is refused as a conflict: then it becomes a dead letter in the same transaction.
 */
export interface Change {
  readonly messages?: readonly NewMessage[];
  readonly inputs?: readonly Uint8Array[];
  /** For the dead letter of a conflict: who brought it; `senders`, as many as `inputs`, where several did. */
  readonly from?: Sender;
  readonly senders?: readonly Sender[];
  /**
   * Inputs of this change, by exactly-once marker: where it is set already for the same content, the whole change is a repeat and writes nothing.
   * For other content it is left from an earlier life of the client, and stands for this change from now on.
   */
  readonly marker?: { readonly client: string; readonly packetId: number; readonly content?: string };
  /** Without a packet id: all of the client's. */
  readonly releaseMarker?: { readonly client: string; readonly packetId?: number };
  readonly cursors?: readonly { readonly name: string; readonly value: string }[];
  readonly deadLetters?: readonly DeadLetter[];
  /** Central has everything up to it on disk. */
  readonly acknowledged?: { readonly lane: Lane; readonly epoch: string; readonly watermark: number };
  /** Everything up to it has its deliveries. */
  readonly dispatched?: { readonly lane: QueueLane; readonly upTo: number };
  readonly newDeliveries?: readonly NewDelivery[];
  readonly deliveryUpdates?: readonly {
    readonly id: number;
    readonly state: DeliveryState;
    readonly attempts: number;
    readonly failures: number;
    readonly reason: string | null;
  }[];
  readonly doneDeliveries?: readonly number[];
  /** Where this delivery is not in one of these states when it comes to be written, nothing of the change is: DELIVERY_DECIDED. */
  readonly provided?: { readonly delivery: number; readonly states: readonly DeliveryState[] };
  /** The gateway's own bookkeeping: no budget refuses it, and a full disk's reserve pays for it (rule 7). */
  readonly control?: true;
}

/** What was flushed of a change. */
export interface Committed {
  readonly appended: number;
  readonly repeats: number;
  /** Ids of the dead letters that conflicts became. */
  readonly conflicts: readonly string[];
}

/** A frame, opened where it was sealed; or a hole: a tombstone of the same range, without messages. */
export interface StoredFrame {
  readonly first: number;
  readonly count: number;
  readonly recordedAt: EpochMs;
  /** Running time that it has waited; absent where the machine was restarted in between. */
  readonly ageMs?: number;
  /** It may have been delivered before: the file was set back, or a part of it could not be read. */
  readonly again?: true;
  /** zstd of NDJSON; empty for a hole. */
  readonly events: Uint8Array;
  /** SHA-256 chain up to and with this frame, hex. */
  readonly chain: string;
  readonly hole?: HoleReason;
  /** As {@link encodeInputs} wrote them; only where they were asked for. */
  readonly inputs?: Uint8Array;
}

/** What goes to central next. */
export interface NextFrames {
  readonly epoch: string;
  readonly frames: readonly StoredFrame[];
  /** What central lost cannot be linked to what follows: only a new epoch helps. */
  readonly chainUnknown?: true;
}

/** Where a lane stands: cheap to ask for, whatever the backlog. */
export interface LanePosition {
  readonly epoch: string;
  readonly epochFirst: number;
  readonly last: number;
  readonly acknowledged: number;
  readonly dispatched: number;
  /** Up to it messages may have been delivered before. */
  readonly againUpTo: number;
  /** The highest sequence that was deleted here. */
  readonly pruned: number;
}

export interface LaneDepth {
  readonly lane: QueueLane;
  readonly epoch: string;
  readonly predecessor: { readonly epoch: string; readonly lastSequence: number } | null;
  readonly epochFirst: number;
  /** The chain's value before the epoch's first message, hex. */
  readonly epochChain: string;
  readonly last: number;
  readonly acknowledged: number;
  readonly dispatched: number;
  readonly oldestAt: EpochMs | null;
  readonly waitingBytes: number;
  /** With what central acknowledged and may still lose (rule 6). */
  readonly storedBytes: number;
}

export interface QueueDepth {
  readonly lanes: readonly LaneDepth[];
  readonly deliveries: {
    readonly waiting: number;
    readonly unknown: number;
    readonly parked: number;
    readonly oldestAt: EpochMs | null;
  };
  readonly deadLetters: number;
}

/** What the worker found of its disk. */
export interface DiskReport {
  readonly state: DiskState;
  readonly freeBytes: number;
}
