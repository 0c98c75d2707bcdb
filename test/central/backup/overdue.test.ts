import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Alarms } from "../../../central/alert/alarms.ts";
import { backUp } from "../../../central/backup/main.ts";
import { type BackupNote, noteFile, noteName, writeNote } from "../../../central/backup/note.ts";
import { overdueNow, watchBackups } from "../../../central/backup/overdue.ts";
import type { BackupAnswer } from "../../../central/http/api/recovery.ts";
import type { ExceptionView } from "../../../central/http/views.ts";
import { readMeta, writeMeta } from "../../../central/storage/incarnation.ts";
import { openStorage } from "../../../central/storage/storage.ts";
import { openLogger } from "../../../central/telemetry/logger.ts";
import { systemClock } from "../../../protocol/index.ts";
import { backupOf } from "../../support/backups.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { openTestStorage, type StorageKind, storages } from "../../support/storages.ts";

const minuteMs = 61_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const kinds = await storages();

const note = (id: string): BackupNote => ({
  id,
  takenAt: "2026-11-20T00:00:00.000Z",
  file: `/backups/${id}`,
  bytes: 1,
  keys: false,
  sealed: false,
});

/** Each look raises or ends something. */
class CountedAlarms extends Alarms {
  looks = 0;
  override async raiseOnce(...given: Parameters<Alarms["raiseOnce"]>) {
    const raised = await super.raiseOnce(...given);
    this.looks++;
    return raised;
  }
  override async end(...given: Parameters<Alarms["end"]>) {
    await super.end(...given);
    this.looks++;
  }
}

/** A ledger that is watched, without central around it. */
async function watched(kind: StorageKind) {
  const stack = new AsyncDisposableStack();
  const { target, folder } = stack.use(await openTestStorage(kind));
  const storage = await openStorage(target);
  stack.defer(() => storage.destroy());
  const log = openLogger({ level: "silent" });
  const counted = async () => (JSON.parse((await readMeta(storage, "backup-watch")) ?? "{}") as { heldMs?: number }).heldMs ?? 0;
  const settings = { storage, dataDir: folder, overdueDays: 2 };
  return {
    /** Central runs for so long, as that many replicas; each of them has looked after each of these times. */
    async run(passing: readonly number[], { aheadMs = 0, replicas = 1 } = {}) {
      const clocks = Array.from({ length: replicas }, settableClock);
      const stop = new AbortController();
      const alarms = new CountedAlarms({ clock: systemClock, log });
      const watching = clocks.map((clock) => watchBackups({ ...settings, alarms, clock, log }, stop.signal));
      for (const [index, ms] of passing.entries()) {
        for (const clock of clocks) {
          clock.aheadMs += aheadMs;
          clock.pass(ms);
        }
        await eventually(
          async () => alarms.looks,
          (looks) => looks === (index + 1) * replicas,
        );
      }
      stop.abort();
      await Promise.all(watching);
    },
    counted,
    overdue: (overdueDays = 2) => overdueNow({ ...settings, overdueDays }),
    async standing(): Promise<string[]> {
      const rows = await storage.selectFrom("exceptions").selectAll().where("ended_at", "is", null).execute();
      return rows.filter(({ kind: each }) => each === "backup-overdue").map(({ reason }) => reason);
    },
    noteBackup: async (id: string) =>
      kind === "postgres" ? writeMeta(storage, noteName, JSON.stringify(note(id))) : writeNote(folder, note(id)),
    loseNote: async () => (kind === "postgres" ? writeMeta(storage, noteName, "gone") : rmSync(join(folder, noteFile))),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe.each(kinds)("an overdue backup, on %s", (kind) => {
  it("is told after as many days as are set, until there is a new one", async () => {
    await using central = await watched(kind);
    await central.run([2 * dayMs - hourMs]);
    expect(await central.standing()).toEqual([]);
    await central.run([2 * hourMs]);
    expect(await central.standing()).toEqual(["no backup was ever taken, and central has run for more than 2 days"]);
    expect(await central.overdue()).toBe("no backup was ever taken, and central has run for more than 2 days");
    expect(await central.overdue(0)).toBe(null);
    await central.noteBackup("one");
    await central.run([minuteMs]);
    expect(await central.standing()).toEqual([]);
    await central.run([3 * dayMs]);
    expect(await central.standing()).toEqual([
      `the last backup that was read back whole was taken at ${note("one").takenAt}, and central has run for more than 3 days since`,
    ]);
  });

  it("counts the time that central ran, over restarts, and no clock that was set", async () => {
    await using central = await watched(kind);
    await central.run([30 * hourMs]);
    await central.run([15 * hourMs], { aheadMs: 20 * 365 * dayMs });
    expect(await central.standing()).toEqual([]);
    await central.run([4 * hourMs], { aheadMs: -20 * 365 * dayMs });
    expect(await central.standing()).toHaveLength(1);
  });

  it("goes on counting where the note of the last one is gone", async () => {
    await using central = await watched(kind);
    await central.noteBackup("one");
    await central.run([minuteMs, 40 * hourMs]);
    await central.loseNote();
    await central.run([10 * hourMs]);
    expect(await central.standing()).toEqual([
      "central has run for more than 2 days since the last backup, of which nothing is noted any more",
    ]);
  });
});

it("is counted once, however many replicas there are", async ({ skip }) => {
  if (!kinds.includes("postgres")) skip("needs PostgreSQL");
  await using central = await watched("postgres");
  // each of them goes on from what it found first
  await central.run([minuteMs, 30 * hourMs], { replicas: 3 });
  expect(await central.counted()).toBeLessThan(31 * hourMs);
});

it("is answered by central, and goes on over its restart", async () => {
  using folder = temporaryFolder();
  const clock = settableClock();
  await using central = await startTestCentral({ parts: { clock }, settings: { backupOverdueDays: 1 } });
  const answer = async () => (await central.admin<BackupAnswer>("GET", "/v1/backup")).body;
  expect((await answer()).overdue).toBe(null);
  clock.pass(dayMs + hourMs);
  expect((await eventually(answer, ({ overdue }) => overdue !== null)).overdue).toMatch(/^no backup was ever taken/);
  await central.restart({ clock });
  expect((await answer()).overdue).toMatch(/^no backup was ever taken/);
  await backUp(backupOf(central, folder.path));
  clock.pass(minuteMs);
  expect((await eventually(answer, ({ overdue }) => overdue === null)).lastBackup).not.toBe(null);
  const { body } = await central.admin<{ exceptions: ExceptionView[] }>("GET", "/v1/exceptions");
  expect(body.exceptions.find(({ kind }) => kind === "backup-overdue")).toMatchObject({
    site: null,
    endedAt: expect.any(String),
  });
});
