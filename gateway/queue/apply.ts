import { randomUUID } from "node:crypto";
import { type CloudEvent, type EpochMs, PlantgateError } from "../../protocol/index.ts";
import type { PackedRun, RepeatWindows, Staged } from "./append.ts";
import type { Change, Committed, DeadLetter } from "./change.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { Deliveries } from "./deliveries.ts";
import type { StagedLanes } from "./lane-state.ts";
import { acknowledge } from "./positions.ts";
import type { Retention } from "./retention.ts";
import type { Statements } from "./statements.ts";

/** What one flush takes: a change, judged by itself, or messages of one lane that need no judging. */
export type GroupEntry = { readonly change: Change } | { readonly run: PackedRun };

/** Of each entry of a group: what was written, or why nothing of it was. */
export type EntryOutcome = Committed | PlantgateError;

export interface ChangeWriterDeps {
  readonly statements: Statements;
  readonly deliveries: Deliveries;
  readonly deadLetters: DeadLetters;
  readonly retention: Retention;
  readonly windows: RepeatWindows;
  readonly now: () => EpochMs;
}

/** Puts what callers ask for into a transaction: messages are staged for their frames, all else goes to its table at once. */
export class ChangeWriter {
  readonly #deps: ChangeWriterDeps;

  constructor(deps: ChangeWriterDeps) {
    this.#deps = deps;
  }

  /** Puts an entry whole into the transaction, or refuses it whole. */
  apply(entry: GroupEntry, staged: Staged): EntryOutcome {
    if ("run" in entry) {
      staged.appendRun(entry.run);
      return { appended: entry.run.count, repeats: 0, conflicts: [] };
    }
    const { change } = entry;
    if (change.provided && !this.#deps.deliveries.isIn(change.provided.delivery, change.provided.states))
      return new PlantgateError("DELIVERY_DECIDED", "the delivery is decided already, or gone");
    if (change.releaseMarker) this.#releaseMarker(change.releaseMarker);
    if (change.marker && !this.#setMarker(change.marker))
      return { appended: 0, repeats: Math.max(1, change.messages?.length ?? 0), conflicts: [] };
    const committed = staged.appendJudged(change, this.#deps.windows, (message) => this.#keepConflict(change, message, staged));
    for (const { name, value } of change.cursors ?? []) {
      const upsert = "INSERT INTO cursors (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
      this.#deps.statements.run(upsert, name, value);
    }
    for (const letter of change.deadLetters ?? []) this.#deps.deadLetters.write(letter, staged.totals);
    const lane = change.dispatched && staged.lanes.get(change.dispatched.lane);
    this.#deps.deliveries.write(change, staged.totals, lane !== undefined && lane.dispatched < lane.againUpTo);
    if (change.acknowledged) acknowledge(this.#deps.statements, this.#deps.retention, staged.lanes, change.acknowledged);
    if (change.dispatched) this.#dispatched(change.dispatched, staged.lanes);
    return committed;
  }

  #releaseMarker({ client, packetId }: NonNullable<Change["releaseMarker"]>): void {
    if (packetId === undefined) this.#deps.statements.run("DELETE FROM markers WHERE client = ?", client);
    else this.#deps.statements.run("DELETE FROM markers WHERE client = ? AND packet = ?", client, packetId);
  }

  /** @returns whether it was not set, or stood for other content */
  #setMarker({ client, packetId, content = null }: { client: string; packetId: number; content?: string | null }): boolean {
    const upsert = `INSERT INTO markers (client, packet, content) VALUES (?, ?, ?)
      ON CONFLICT (client, packet) DO UPDATE SET content = excluded.content WHERE content IS NOT excluded.content`;
    return this.#deps.statements.run(upsert, client, packetId, content).changes > 0;
  }

  #dispatched({ lane, upTo }: NonNullable<Change["dispatched"]>, lanes: StagedLanes): void {
    const state = lanes.touch(lane);
    if (lane === "inbound") this.#deps.retention.taken(lane, state, state.dispatched, upTo);
    state.dispatched = Math.max(state.dispatched, upTo);
    this.#deps.retention.prune(lane, lanes, false);
  }

  #keepConflict(change: Change, { lane, line, input }: NonNullable<Change["messages"]>[number], staged: Staged): string {
    const id = randomUUID();
    const raw = lane === "inbound" ? undefined : change.inputs?.[input ?? 0];
    const sender = change.senders?.[input ?? 0] ?? change.from;
    const { connector = "", flow, place = "", receivedAt } = sender ?? {};
    const letter = {
      id,
      at: receivedAt ?? this.#deps.now(),
      direction: "in",
      connector,
      ...(flow === undefined ? {} : { flow }),
      place,
      code: "KEY_CONFLICT",
      reason: "the same idempotency key was recorded before with other content; the first stands",
      body: raw ?? Buffer.from(line),
      attempts: 0,
      ...namesOf(line),
    } as const;
    this.#deps.deadLetters.write(letter, staged.totals);
    return id;
  }
}

/** What a dead letter of this message is found by. */
function namesOf(line: string): Pick<DeadLetter, "type" | "key"> {
  try {
    const { type, partitionkey: key } = JSON.parse(line) as Partial<CloudEvent>;
    return { ...(typeof type === "string" ? { type } : {}), ...(typeof key === "string" ? { key } : {}) };
  } catch {
    return {};
  }
}
