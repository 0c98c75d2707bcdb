import type { z } from "zod";

/** A durable, ordered stream in the gateway. The lane is fixed by the type (DESIGN rule 14). */
export const lanes = ["transaction", "bulk", "telemetry"] as const;
export type Lane = (typeof lanes)[number];

/** One version of one canonical message type: its schema and what follows from its data. */
export interface MessageType<Schema extends z.ZodType = z.ZodType> {
  /** `mfg.<noun>.<verb>.v<major>` */
  readonly type: string;
  readonly lane: Lane;
  readonly purpose: string;
  readonly data: Schema;
  /** What the message is about: `<entity>/<canonicalId>`, the CloudEvents subject. */
  subject(data: z.infer<Schema>): string;
  /** The ordering key where the flow names none. */
  key(data: z.infer<Schema>): string;
  /** The parts of the idempotency key where the flow names none; undefined: a message of this type is never a repeat. */
  idempotencyKey?(data: z.infer<Schema>): readonly (string | number)[];
  /** Production order ids by which a person finds it. */
  orders?(data: z.infer<Schema>): readonly string[];
  /** When it happened at its source; else the time of recording. */
  time?(data: z.infer<Schema>): string | undefined;
  /**
   * A state: of one key only the newest counts, so that older ones that still wait for a receiver are superseded by it (coalescing,
   * rule 14). Absent: a fact or a command, never dropped for a later one.
   */
  readonly state?: true;
  /** Names under which people know the order, where the data holds one. */
  orderName?(data: z.infer<Schema>): string | undefined;
}

/** Keeps the schema's type while the entry is checked against the interface. */
export function messageType<Schema extends z.ZodType>(definition: MessageType<Schema>): MessageType<Schema> {
  return definition;
}
