import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { PlantgateError } from "../../protocol/index.ts";
import { migrateFrom1, migrateFrom2, migrateFrom3 } from "./migrate.ts";
import { formatVersion } from "./schema.ts";

/** What a queue's file says of itself in `meta`. */
export interface FileFormat {
  readonly format: number;
  /** The lowest format of a program that may open it; the file's own where it does not say. */
  readonly readableBy: number;
}

/**
 * One step of the format. `readableBy`: the lowest format of a program that can go on with the file after it; below `to` only where all that the step
 * adds is a table, an index, or a column that may be left out, so that a program that does not know it loses nothing by it. A step that such a
 * program cannot live with waits while the version that brings it is on trial, so that the way back stays open: until then the
 * version works without it (ADR 0113).
 */
export interface FormatStep {
  readonly to: number;
  readonly readableBy: number;
  readonly up: (db: DatabaseSync, site: string) => void;
}

/** Of what a program knows: its own format is the last step's. */
export type FormatSteps = readonly FormatStep[];

export const formatSteps: FormatSteps = [
  { to: 2, readableBy: 2, up: migrateFrom1 },
  { to: 3, readableBy: 3, up: migrateFrom2 },
  {
    to: 4,
    readableBy: 4,
    up: (db) => {
      // of format 1 the table of frames was just made
      if (!hasColumn(db, "frames", "linked_to")) migrateFrom3(db);
    },
  },
];

/** What this program goes on with as it is: the last format, or where a step waits the one before it. */
export const lowestFormat = 4;

/** No version with this format or a lower one could be put on trial: the steps up to it wait for nothing. */
export const firstOnTrial = 4;

/** Added to the format of a queue whose gateway moved away, so that every program refuses it: none has one so high. */
export const movedAway = 1_000_000;

/** @throws what SQLite throws */
export function readFormat(db: DatabaseSync): FileFormat {
  const value = (name: string) => db.prepare("SELECT value FROM meta WHERE name = ?").get(name)?.value as string | undefined;
  const format = Number(value("format"));
  return { format, readableBy: Number(value("readableBy") ?? format) };
}

/**
 * What the file says, by a handle that only reads, so that nothing of what is there changes. Undefined where there is no file, or where it
 * cannot be told: whoever opens the file finds out why.
 */
export function peekFormat(path: string): FileFormat | undefined {
  if (!existsSync(path)) return undefined;
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
    const found = readFormat(db);
    return Number.isInteger(found.format) && Number.isInteger(found.readableBy) ? found : undefined;
  } catch {
    return undefined;
  } finally {
    db?.close();
  }
}

/** @throws PlantgateError FORMAT_NEWER where a program of `known` may not open it; nothing was changed */
export function requireReadable({ format, readableBy }: FileFormat, known = formatVersion): void {
  if (readableBy <= known) return;
  if (readableBy >= movedAway)
    throw new PlantgateError(
      "FORMAT_NEWER",
      "the gateway of this queue was moved out of its folder, and does not run here any more. Where it was taken in nowhere: plantgate gateway move-out --undo",
    );
  const advice = "Use the version that wrote it; nothing was changed";
  throw new PlantgateError("FORMAT_NEWER", `the queue has format ${format}; this program knows ${known}. ${advice}`);
}

/** Brings the file forward, inside the caller's transaction. @returns what it is then */
export function bringForward(
  db: DatabaseSync,
  site: string,
  { steps = formatSteps, onTrial = false }: { readonly steps?: FormatSteps | undefined; readonly onTrial?: boolean | undefined },
): FileFormat {
  const found = readFormat(db);
  let now = found;
  for (const step of steps) {
    if (step.to <= now.format) continue;
    const isBreaking = step.readableBy > found.format;
    if (onTrial && isBreaking && step.to > firstOnTrial) break;
    step.up(db, site);
    now = { format: step.to, readableBy: step.readableBy };
  }
  if (now !== found) noteFormat(db, now);
  return now;
}

export function noteFormat(db: DatabaseSync, { format, readableBy }: FileFormat): void {
  const put = db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)");
  put.run("format", String(format));
  if (readableBy < format) put.run("readableBy", String(readableBy));
  else db.exec("DELETE FROM meta WHERE name = 'readableBy'");
}

function hasColumn(db: DatabaseSync, table: string, column: string): boolean {
  return db.prepare("SELECT 1 FROM pragma_table_info(?) WHERE name = ?").get(table, column) !== undefined;
}
