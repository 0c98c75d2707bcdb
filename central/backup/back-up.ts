import { randomUUID } from "node:crypto";
import { existsSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { type Clock, describeError, PlantgateError, toInstant } from "../../protocol/index.ts";
import { flushFolder, writeFlushed } from "../storage/files.ts";
import { lockBackups, restoringFile } from "../storage/folder.ts";
import { measurePart, type Part, type Progress, readArchive, writeArchive } from "./archive.ts";
import { readFacts } from "./facts.ts";
import { dropLeftovers, dropOld, giveName, isThere, makeScratch, requireFolder, targetOf } from "./kept-backups.ts";
import { formatKeysFile, missingKeys, readKeysFile, readSecretKeys, type SecretKeys } from "./keys-file.ts";
import { backupFormat, type LedgerFacts, type Manifest } from "./manifest.ts";
import { type BackupNote, writeNote } from "./note.ts";
import { dumpDatabase, noteInDatabase } from "./postgres-copy.ts";
import { requireRoom } from "./room.ts";
import { readSigningParts } from "./signing-files.ts";
import { holdLedger, inCopy } from "./sqlite-copy.ts";

export interface BackupOptions {
  readonly dataDir: string;
  readonly databaseUrl?: string | undefined;
  /** A file that is not there yet, or a folder, where it gets a name of its own; with a slash at its end the folder is made. */
  readonly out: string;
  /** How many backups of this ledger stay in its folder, this one included; older ones are deleted once it is good. Only where `out` is a folder. */
  readonly keep?: number | undefined;
  /** Where the keys of secrets go; undefined: nowhere. */
  readonly keysOut?: string | undefined;
  /** RSA public key, PEM: only its private half opens the backup. */
  readonly recipient?: string | undefined;
  readonly version: string;
  readonly clock: Clock;
  /** Does something in the data folder as the folder's owner. */
  readonly asOwner: <Value>(run: () => Promise<Value>) => Promise<Value>;
  readonly progress?: (doing: string) => Progress;
}

export interface BackupMade {
  readonly file: string;
  readonly bytes: number;
  readonly manifest: Manifest;
  readonly keysFile: string | undefined;
  /** Older ones that were deleted. */
  readonly dropped: readonly string[];
  /** For a person, each a sentence. */
  readonly warnings: readonly string[];
}

/**
 * Copies a central, which may run meanwhile, into one file: ledger and signing key, and apart from it the keys of secrets. The file has its name only once
 * it was read back whole; whatever goes wrong before leaves nothing under that name.
 * @throws PlantgateError CONFIG_INVALID, DISK_FAILED, PEER_UNREACHABLE
 */
export async function backUp(options: BackupOptions): Promise<BackupMade> {
  const { dataDir, clock, version, recipient, progress, asOwner, keysOut } = options;
  if (!existsSync(join(dataDir, "signing-key.json")))
    throw new PlantgateError("CONFIG_INVALID", `${dataDir} is no data folder of a central: it holds no signing-key.json`);
  // asked behind the lock: a restore does not begin any more
  using held = new DisposableStack();
  held.defer(await asOwner(async () => lockBackups(dataDir, "backup")));
  if (existsSync(join(dataDir, restoringFile)))
    throw new PlantgateError("CONFIG_INVALID", `a restore into ${dataDir} did not come to its end: what lies there is not whole`);
  const takenAt = toInstant(clock.now());
  const { folder, names, isNamed } = targetOf(options, takenAt);
  if (!isNamed && existsSync(options.out)) throw isThere(options.out);
  if (keysOut !== undefined && resolve(keysOut) === resolve(options.out))
    throw new PlantgateError("USAGE", "the keys of secrets go into another file than the backup, best to another place");
  if (keysOut !== undefined) requireFolder(dirname(resolve(keysOut)));
  if (keysOut !== undefined && existsSync(keysOut) && !isWithin(keysOut, readSecretKeys(dataDir)))
    throw new PlantgateError("CONFIG_INVALID", `${keysOut} is there already and holds other keys: it is not written over`);
  dropLeftovers(folder);
  const scratch = makeScratch(folder);
  try {
    const { part, facts, server, schema } = await copyLedger(options, scratch, folder);
    const parts: Part[] = [part, ...(await readSigningParts(dataDir, facts.signingKey))];
    const measured = [];
    for (const each of parts) measured.push(await measurePart(each));
    const manifest: Manifest = {
      kind: "CentralBackup",
      format: backupFormat,
      id: randomUUID(),
      takenAt,
      version,
      storage: options.databaseUrl === undefined ? "sqlite" : "postgres",
      ...(server === undefined ? {} : { server, schema }),
      ledger: facts,
      parts: measured,
    };
    const staged = join(scratch, "backup");
    const opener = await writeArchive(staged, manifest, parts, { recipient, progress: progress?.("writing") });
    await readArchive(staged, { opener, progress: progress?.("reading it back") });
    const bytes = statSync(staged).size;
    const keys = readSecretKeys(dataDir);
    const hasKeys = keysOut !== undefined && keys !== undefined;
    // a timer names the same file each time, and one run may have come no further than here; nothing that a file holds is lost
    if (hasKeys && (!existsSync(keysOut) || isWithin(keysOut, keys))) writeFlushed(keysOut, formatKeysFile(keys, manifest));
    const file = giveName(staged, names);
    flushFolder(folder);
    const note: BackupNote = {
      ...{ id: manifest.id, takenAt, file: resolve(file), bytes, keys: hasKeys, sealed: recipient !== undefined },
    };
    const unnoted = await noteTaken(options, note);
    return {
      ...{ file, bytes, manifest, keysFile: hasKeys ? keysOut : undefined },
      dropped: isNamed && options.keep !== undefined ? await dropOld(folder, options.keep, basename(file), manifest) : [],
      warnings: [...unnoted, ...warningsOf(facts, missingKeys(facts.secrets.keys, keys), keysOut)],
    };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function copyLedger(
  { dataDir, databaseUrl, asOwner, progress }: BackupOptions,
  scratch: string,
  folder: string,
): Promise<{ readonly part: Part; readonly facts: LedgerFacts; readonly server?: string; readonly schema?: string }> {
  if (databaseUrl !== undefined) {
    const file = join(scratch, "ledger.pgdump");
    return { part: { name: "ledger.pgdump", file }, ...(await dumpDatabase(databaseUrl, file, folder)) };
  }
  const file = join(scratch, "ledger.db");
  {
    // whoever opens a ledger makes the files beside it
    using held = await asOwner(async () => holdLedger(join(dataDir, "ledger.db")));
    requireRoom(folder, 2 * held.bytes, "the backup");
    await held.copyTo(file, progress?.("copying"));
  }
  return { part: { name: "ledger.db", file }, facts: await inCopy(file, readFacts) };
}

function warningsOf(facts: LedgerFacts, missing: readonly string[], keysOut: string | undefined): string[] {
  const { sealed } = facts.secrets;
  const values = `${sealed} ${sealed === 1 ? "value of a secret lies" : "values of secrets lie"} sealed in it`;
  if (missing.length > 0)
    return [
      `${values}, and secrets-key.json lacks ${missing.length === 1 ? "the key" : "keys"} ${missing.join(", ")}: what is sealed under ${missing.length === 1 ? "it" : "them"} cannot be opened here, nor after a restore. Set those secrets again`,
    ];
  if (sealed > 0 && keysOut === undefined)
    return [`${values}: secrets cannot be restored from this backup alone. Keep their keys elsewhere, with --keys-out FILE`];
  return [];
}

/** A backup is good whether it is noted or not: the disk that has no room for the note may be why it is taken. @returns what a person is told */
async function noteTaken({ dataDir, databaseUrl, asOwner }: BackupOptions, note: BackupNote): Promise<string[]> {
  try {
    if (databaseUrl !== undefined) await noteInDatabase(databaseUrl, note);
    await asOwner(async () => writeNote(dataDir, note));
    return [];
  } catch (error) {
    return [
      `that this backup was taken could not be noted (${describeError(error)}): central takes the one before it for the last. The backup itself is whole`,
    ];
  }
}

/** Whether all keys of a file are among these. */
function isWithin(keysFile: string, keys: SecretKeys | undefined): boolean {
  const known = new Set(keys?.map((key) => JSON.stringify(key)));
  try {
    return readKeysFile(keysFile).every((key) => known.has(JSON.stringify(key)));
  } catch {
    return false;
  }
}
