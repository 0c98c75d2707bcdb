import { statfsSync } from "node:fs";
import { sql } from "kysely";
import { releaseLimits } from "../../protocol/index.ts";
import type { Actor } from "../auth/actor.ts";
import { isSamePerson } from "../change/change-state.ts";
import { ChangeRefused } from "../change/refused.ts";
import type { StorageTransaction } from "../storage/storage.ts";

export interface RoomDeps {
  /** Of the ledger, by all packages together. */
  readonly mostBytes: number;
  /** The ledger's own, where it is a file of this machine. */
  readonly disk?: (() => Disk) | undefined;
}
export interface Disk {
  readonly freeBytes: number;
  readonly sizeBytes: number;
}

/** On their way at once, of one person. */
const maxOpenEach = 4;
/** Left to what plants send: below it `plantgate doctor` calls the disk a fault. */
const kept = { bytes: 256 * 1024 ** 2, share: 32 } as const;

export function diskOf(folder: string): Disk {
  const { bavail, blocks, bsize } = statfsSync(folder);
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
}

/** @throws ChangeRefused where somebody has begun enough, packages take enough of the ledger already, or its disk is needed by what plants send */
export async function requireRoom(
  tx: StorageTransaction,
  { mostBytes, disk }: RoomDeps,
  actor: Actor,
  size: number,
): Promise<void> {
  const rows = await tx.selectFrom("release_packages").select(["file", "upload", "size", "added_by", "added_at"]).execute();
  const open = rows.filter(({ added_at: at }) => at === null);
  const own = open.filter(({ added_by: by }) => isSamePerson(by, actor.name)).map(({ file }) => file);
  if (own.length >= maxOpenEach)
    throw new ChangeRefused(
      "conflict",
      `${own.length} packages of yours are on their way: ${own.join(", ")}; go on with those, or take them away (plantgate release drop FILE)`,
    );
  const bytes = bytesOf(rows);
  if (bytes + size > mostBytes) {
    const begun = open.map(({ file, added_by: by }) => `${file} by ${by}`);
    throw new ChangeRefused(
      "conflict",
      `packages take ${mebibytes(bytes)} of the ${mebibytes(mostBytes)} MiB that they may (plantgate central --max-releases), and this one has ${mebibytes(size)}; remove a version that nothing wants (plantgate release list, plantgate release remove VERSION)${begun.length === 0 ? "" : `; on their way: ${begun.join(", ")}`}`,
    );
  }
  if (disk) requireDisk(disk(), { size, toCome: await toComeOf(tx, open), reusable: await reusableBytes(tx) });
}

/** Plants have sent, too, since the package was begun. @throws ChangeRefused where they need the room now */
export async function requireRoomForChunk(
  tx: StorageTransaction,
  { disk }: Pick<RoomDeps, "disk">,
  bytes: number,
): Promise<void> {
  if (!disk) return;
  const { freeBytes, sizeBytes } = disk();
  const left = leftOf(sizeBytes);
  if (freeBytes >= takenBy(bytes, await reusableBytes(tx)) + left) return;
  throw new ChangeRefused(
    "conflict",
    `the ledger's disk has ${mebibytes(freeBytes)} MiB free, and ${mebibytes(left)} stay for what plants send: make room there, and send the package again, which goes on from here`,
  );
}

function leftOf(sizeBytes: number): number {
  return Math.min(kept.bytes, Math.floor(sizeBytes / kept.share));
}

/** A chunk lies in SQLite's log, too, until that is folded in; the ledger grows only by what its free pages do not hold. */
function takenBy(bytes: number, reusable: number): number {
  return bytes + Math.max(0, bytes - reusable);
}

function requireDisk(
  { freeBytes, sizeBytes }: Disk,
  { size, toCome, reusable }: { readonly size: number; readonly toCome: number; readonly reusable: number },
): void {
  const taken = (bytes: number): number => takenBy(bytes, reusable);
  const left = leftOf(sizeBytes);
  if (freeBytes >= taken(toCome + size) + left) return;
  const begun = toCome === 0 ? "" : `, ${mebibytes(taken(toCome))} are for those on their way`;
  throw new ChangeRefused(
    "conflict",
    `the ledger's disk has ${mebibytes(freeBytes)} MiB free; this package may take ${mebibytes(taken(toCome + size) - taken(toCome))} of them${begun}, and ${mebibytes(left)} stay for what plants send: make room there, or remove a version that nothing wants (plantgate release list, plantgate release remove VERSION), whose place it takes`,
  );
}

/** What was begun, and is not here yet. */
async function toComeOf(
  tx: StorageTransaction,
  open: readonly { readonly upload: string; readonly size: number }[],
): Promise<number> {
  if (open.length === 0) return 0;
  const { chunks } = await tx
    .selectFrom("release_chunks")
    .select((eb) => eb.fn.countAll<number>().as("chunks"))
    .where(
      "upload",
      "in",
      open.map(({ upload }) => upload),
    )
    .executeTakeFirstOrThrow();
  // the last chunk of each may be shorter
  return Math.max(0, bytesOf(open) - Number(chunks) * releaseLimits.chunkBytes);
}

/** Of SQLite's file: it gives nothing back to the disk, and writes there first. */
async function reusableBytes(tx: StorageTransaction): Promise<number> {
  const { rows } = await sql<{
    bytes: number;
  }>`SELECT freelist_count * page_size AS bytes FROM pragma_freelist_count, pragma_page_size`.execute(tx);
  return rows[0]?.bytes ?? 0;
}

export function bytesOf(rows: readonly { readonly size: number }[]): number {
  return rows.reduce((sum, { size }) => sum + size, 0);
}

function mebibytes(bytes: number): string {
  return String(Math.ceil(bytes / 1024 ** 2));
}
