/**
 * What the caller does about an error. The HTTP status is what a server answers for it.
 * `retry`: the peer is away, keep and back off. `reject`: this input can never succeed, dead letter.
 * `deny`: identity or policy forbids it, wait for a person. `shed`: a budget is spent, push back.
 * `quarantine`: local state is damaged, set aside and report. `crash`: our own invariant broke.
 */
export type Disposition = "retry" | "reject" | "deny" | "shed" | "quarantine" | "crash";

const dispositions = {
  // link and peers
  PEER_UNREACHABLE: "retry",
  PEER_TIMEOUT: "retry",
  PEER_BUSY: "retry",
  PEER_REFUSED: "reject",
  LINK_DENIED: "deny",
  LINK_FENCED: "deny",
  // input
  INPUT_NOT_JSON: "reject",
  INPUT_TOO_LARGE: "reject",
  INPUT_INVALID: "reject",
  MAPPING_FAILED: "reject",
  MAPPING_TIMEOUT: "reject",
  KEY_INCOMPLETE: "reject",
  UNIT_UNKNOWN: "reject",
  KEY_CONFLICT: "reject",
  DESTINATION_INVALID: "reject",
  EXPIRED: "reject",
  DISCARDED: "reject",
  DELIVERY_DECIDED: "reject",
  // configuration
  CONFIG_INVALID: "reject",
  SECRET_MISSING: "reject",
  SIGNATURE_INVALID: "deny",
  KEY_UNKNOWN: "deny",
  // local state
  QUEUE_FULL: "shed",
  DISK_FAILED: "crash",
  FRAME_CORRUPT: "quarantine",
  FRAME_LOCKED: "quarantine",
  LEDGER_REPLACED: "crash",
  DATA_FOLDER_LOCKED: "deny",
  FOLDER_MOVED: "deny",
  FORMAT_NEWER: "deny",
  STOPPED: "retry",
  INVARIANT: "crash",
  USAGE: "reject",
} as const satisfies Record<string, Disposition>;

export type ErrorCode = keyof typeof dispositions;

/** An error with a stable code; branch on `code` or `disposition`, never on the message. */
export class PlantgateError extends Error {
  readonly code: ErrorCode;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: { context?: Record<string, unknown>; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "PlantgateError";
    this.code = code;
    this.context = options.context ?? {};
  }

  get disposition(): Disposition {
    return dispositions[this.code];
  }
}

/** True for an error whose reaction is `disposition`; foreign errors have none. */
export function hasDisposition(error: unknown, disposition: Disposition): boolean {
  return error instanceof PlantgateError && error.disposition === disposition;
}

/** One line for a person: the message and the messages of its causes. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let e: unknown = error, depth = 0; e !== undefined && e !== null && depth < 4; depth++) {
    const text = e instanceof Error ? e.message || e.name : String(e);
    if (text !== "" && !parts.includes(text)) parts.push(text);
    e = e instanceof Error ? e.cause : undefined;
  }
  return parts.join(": ");
}
