import { type Lane, parseJson } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import type { LaneState } from "./lane-state.ts";
import type { Statements } from "./statements.ts";

/** An epoch that a lane has left: central had acknowledged all of it, up to `last`, and may lose that with its ledger (rule 6). */
export interface LeftEpoch {
  readonly lane: Lane;
  readonly epoch: string;
  readonly first: number;
  /** The chain's value before its first message, hex. */
  readonly chain: string;
  readonly last: number;
  /** The chain's value behind its last message, hex. */
  readonly lastChain: string;
  readonly predecessor: { readonly epoch: string; readonly lastSequence: number } | null;
}

/** Of each lane: a hello names them with the lanes' own epochs, sixteen in all at most. */
const keptOfLane = 4;

/** The oldest first. Lies in `meta`, which programs that know nothing of it leave alone. */
export function readLeft(statements: Statements): readonly LeftEpoch[] {
  const value = statements.get("SELECT value FROM meta WHERE name = 'left_epochs'")?.value;
  try {
    const told = typeof value === "string" ? parseJson(value) : [];
    return Array.isArray(told) ? (told as LeftEpoch[]).filter(isWhole) : [];
  } catch {
    // damaged: then it is as if they had not been kept
    return [];
  }
}

/** Before the lane begins another epoch; one that central has nothing of is no loss. Inside the caller's transaction. */
export function noteLeft(statements: Statements, lane: QueueLane, state: Readonly<LaneState>): void {
  if (lane === "inbound" || state.acknowledged < state.epochFirst) return;
  const left: LeftEpoch = {
    lane,
    epoch: state.epoch,
    first: state.epochFirst,
    chain: state.epochChain.toString("hex"),
    last: state.acknowledged,
    lastChain: state.acknowledgedChain.toString("hex"),
    predecessor: state.predecessor,
  };
  const known = readLeft(statements);
  const own = [...known.filter((each) => each.lane === lane), left].slice(-keptOfLane);
  write(statements, [...known.filter((each) => each.lane !== lane), ...own]);
}

/** It cannot be sent again. Inside the caller's transaction. */
export function forgetLeft(statements: Statements, lane: Lane, epoch: string): void {
  write(
    statements,
    readLeft(statements).filter((each) => each.lane !== lane || each.epoch !== epoch),
  );
}

function write(statements: Statements, left: readonly LeftEpoch[]): void {
  statements.run("INSERT OR REPLACE INTO meta (name, value) VALUES ('left_epochs', ?)", JSON.stringify(left));
}

function isWhole({ lane, epoch, first, chain, last, lastChain }: LeftEpoch): boolean {
  const isHash = (value: unknown): boolean => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
  const isNumber = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
  return (
    [lane, epoch].every((name) => typeof name === "string") && [first, last].every(isNumber) && isHash(chain) && isHash(lastChain)
  );
}
