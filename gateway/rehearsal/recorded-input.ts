import type { EpochMs } from "../../protocol/index.ts";
import type { Origin } from "../connector/connector.ts";

/** Where a recorded input came from: over a connector, or from central. */
export type RecordedOrigin = Exclude<Origin, { kind: "fact" }> | { readonly kind: "central"; readonly type: string };

/** An input as it came in, or a message as central handed it down (`body`: its line). */
export interface RecordedInput {
  /** `central` for what was handed down. */
  readonly connector: string;
  readonly origin: RecordedOrigin;
  readonly body: Uint8Array;
  readonly decoded?: unknown;
  readonly receivedAt: EpochMs;
  /** Of its first message. */
  readonly messageId?: string;
}
