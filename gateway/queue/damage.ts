import { existsSync, unlinkSync, writeFileSync } from "node:fs";

/** SQLite does not even know the file's header; it has no code of its own for that. */
export class UnknownHeader extends Error {}

/** What is read of the file contradicts itself or what only we write: rows out of order, a row that is not where it was found. */
export class Contradiction extends Error {}

/** While it is there, the queue's file is known as damaged. */
function damageFlag(path: string): string {
  return `${path}.damaged`;
}
/** While it is there, the queue's file has to be looked through before it is opened. */
function doubtFlag(path: string): string {
  return `${path}.doubted`;
}

/** Tells the next start that the file was found damaged. */
export function noteDamage(path: string): void {
  writeFileSync(damageFlag(path), "", { flush: true });
}

export function isNotedAsDamaged(path: string): boolean {
  return existsSync(damageFlag(path));
}

export function forgetDamage(path: string): void {
  if (isNotedAsDamaged(path)) unlinkSync(damageFlag(path));
}

export function isDoubted(path: string): boolean {
  return existsSync(doubtFlag(path));
}

export function forgetDoubt(path: string): void {
  if (isDoubted(path)) unlinkSync(doubtFlag(path));
}

/**
 * Tells the next start what a failure says of the file, so that it does not end with the same one again: a damaged file is set aside and
 * salvaged; one that may be damaged is looked through.
 */
export function noteFailure(path: string, error: unknown): void {
  const errors = [error, error instanceof Error ? error.cause : undefined];
  if (errors.some(isDamage)) noteDamage(path);
  else if (errors.some(isUnexplained)) writeFileSync(doubtFlag(path), "", { flush: true });
}

export function codeOf(error: unknown): number {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === "number" ? code : 0;
}

/**
 * SQLITE_CORRUPT (11) and SQLITE_NOTADB (26): what lies on disk is not a database any more. A number that is too large for JavaScript
 * (ERR_OUT_OF_RANGE) was never written by us.
 */
export function isDamage(error: unknown): boolean {
  if (error instanceof UnknownHeader || error instanceof Contradiction) return true;
  return [11, 26].includes(codeOf(error) & 0xff) || (error as { code?: unknown } | null)?.code === "ERR_OUT_OF_RANGE";
}

/**
 * What neither the disk's state nor a file that is whole explains: SQLite has no such table or column (SQLITE_ERROR, 1), a row breaks a
 * constraint that ours keep (19, 20), or a value is of another kind than we write. A mistake of ours looks the same.
 */
function isUnexplained(error: unknown): boolean {
  if ([1, 19, 20].includes(codeOf(error) & 0xff)) return true;
  return error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError;
}
