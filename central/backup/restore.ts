import { closeSync, existsSync, fstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Clock, PlantgateError, toInstant } from "../../protocol/index.ts";
import { Audit } from "../audit/audit.ts";
import { writeFlushed } from "../storage/files.ts";
import { lockBackups, lockFolder, restoringFile } from "../storage/folder.ts";
import { restoredFrom, writeMeta } from "../storage/incarnation.ts";
import type { Storage } from "../storage/storage.ts";
import { openBackup, type Progress } from "./archive.ts";
import { readFacts } from "./facts.ts";
import { missingKeys, readKeysFile, readSecretKeys, type SecretKeys } from "./keys-file.ts";
import type { LedgerFacts, Manifest } from "./manifest.ts";
import { noteFile, writeNote } from "./note.ts";
import { asideInDatabase, databaseInUse, inDatabase, majorOf, schemasThere } from "./postgres-copy.ts";
import { judgeDump, refill, requireTool } from "./postgres-tools.ts";
import { asideOf, carryOver, entriesOf, filesOf, place, placeKeys, stampsOf } from "./restored-folder.ts";
import { inCopy } from "./sqlite-copy.ts";
import { unpack } from "./unpack.ts";

export interface RestoreOptions {
  readonly file: string;
  readonly dataDir: string;
  readonly databaseUrl?: string | undefined;
  /** The file that `--keys-out` wrote. */
  readonly keysFile?: string | undefined;
  /** What is there now is moved aside. */
  readonly replace: boolean;
  /** PEM of what opens a sealed backup. */
  readonly recoveryKey?: string | undefined;
  readonly clock: Clock;
  /** Called once all that lies elsewhere is open: from then on it is the folder's owner that works in the folder. */
  readonly becomeOwner?: () => void;
  readonly progress?: (doing: string) => Progress;
}

export interface Restored {
  readonly manifest: Manifest;
  /** Where what was there before lies now. */
  readonly movedTo: readonly string[];
  /** Of the folder before, what goes on: it is newer than the backup, or was not in it. */
  readonly kept: readonly string[];
  /** For a person, each a sentence. */
  readonly warnings: readonly string[];
}

/**
 * Puts a backup into a data folder, and into a database where it came from one. Everything is judged before anything is moved; what was there is moved
 * aside, never deleted. The folder gets no `incarnation`: central notices at its start that its ledger was restored, and gateways send again (rule 6).
 * @throws PlantgateError CONFIG_INVALID, DATA_FOLDER_LOCKED, FORMAT_NEWER, INPUT_INVALID, DISK_FAILED, PEER_UNREACHABLE
 */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const given = options.keysFile === undefined ? undefined : readKeysFile(options.keysFile);
  const source = openBackup(options.file);
  try {
    options.becomeOwner?.();
    return await restoreFrom(source, given, options);
  } finally {
    closeSync(source);
  }
}

async function restoreFrom(source: number, given: SecretKeys | undefined, options: RestoreOptions): Promise<Restored> {
  const { dataDir, databaseUrl, replace, clock } = options;
  const made = !existsSync(dataDir);
  const interrupted = existsSync(join(dataDir, restoringFile));
  const found = made ? [] : entriesOf(dataDir);
  if (found.length > 0 && !replace)
    throw new PlantgateError(
      "CONFIG_INVALID",
      `${dataDir} is not empty${interrupted ? ": a restore into it did not come to its end" : ""}; with --replace what is there is moved aside, and the backup put in its place`,
    );
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  using held = new DisposableStack();
  held.defer(lockStopped(dataDir));
  held.defer(lockBackups(dataDir, "restore"));
  // what came meanwhile, as of a central that has ended just now, is moved with all else
  const before = filesOf(dataDir);
  if (before.length > 0 && !replace) throw new PlantgateError("CONFIG_INVALID", `${dataDir} is not empty any more`);
  // nobody else works here now: what is called so was left by one that was cut off
  for (const name of readdirSync(dataDir)) if (name.startsWith(".restoring-")) rmSync(join(dataDir, name), { recursive: true });
  const stage = mkdtempSync(join(dataDir, ".restoring-"));
  try {
    const manifest = await unpack(source, options, stage);
    // what was moved aside by one that was cut off, or by several of them, was there as well
    const cutOff = interrupted ? stampsOf(dataDir) : [];
    const kept = await carryOver([dataDir, ...cutOff.toReversed().map((each) => asideOf(dataDir, each))], stage);
    const keys = given ?? readSecretKeys(stage);
    const missing = missingKeys(manifest.ledger.secrets.keys, keys);
    if (options.keysFile !== undefined) placeKeys(stage, options.keysFile, keys, missing);
    if (!kept.includes(noteFile)) noteSource(fstatSync(source).size, options, manifest, stage);
    const dump = join(stage, "ledger.pgdump");
    if (databaseUrl === undefined) await inCopy(join(stage, "ledger.db"), (db) => begin(db, manifest, clock));
    else await requireDatabase(databaseUrl, replace, manifest, dump);
    const stamp = toInstant(clock.now()).replaceAll(/[-:.]/g, "");
    const movedTo: string[] = [];
    const stamps = [...cutOff, stamp];
    writeFlushed(join(dataDir, restoringFile), stamps.map((each) => `${each}\n`).join(""));
    const ofRights: string[] = [];
    if (databaseUrl !== undefined) {
      const fill = async (schema: string): Promise<void> => {
        await refill(databaseUrl, schema, dump);
        await inDatabase(databaseUrl, (db) => begin(db, manifest, clock));
      };
      const [own, earlier] = [schemaBefore(stamp), cutOff.map(schemaBefore)];
      const notGiven = await asideInDatabase(databaseUrl, own, fill, earlier).catch(async (error: unknown) => {
        // where what was there is back in its place: nothing of the folder was moved yet
        if (!interrupted && (await isBack(databaseUrl, stamp))) rmSync(join(dataDir, restoringFile));
        throw error;
      });
      ofRights.push(...rightsWords(notGiven));
      for (const aside of await schemasThere(databaseUrl, stamps.map(schemaBefore)))
        movedTo.push(`schema ${aside} of the database`);
      rmSync(dump);
    }
    place(dataDir, stage, before, asideOf(dataDir, stamp));
    movedTo.unshift(...stamps.map((each) => asideOf(dataDir, each)).filter((folder) => existsSync(folder)));
    return { manifest, movedTo, kept, warnings: [...ofRights, ...warningsOf(manifest, missing, clock)] };
  } catch (error) {
    rmSync(stage, { recursive: true, force: true });
    if (made && !existsSync(join(dataDir, restoringFile))) rmSync(dataDir, { recursive: true, force: true });
    throw error;
  }
}

/** @throws PlantgateError DATA_FOLDER_LOCKED */
function lockStopped(dataDir: string): () => void {
  try {
    return lockFolder(dataDir);
  } catch (cause) {
    if (!(cause instanceof PlantgateError) || cause.code !== "DATA_FOLDER_LOCKED") throw cause;
    const who = `a central runs on ${dataDir}, or another restore fills it`;
    const stop = "stop it first (where it is installed: systemctl stop plantgate-central)";
    throw new PlantgateError(cause.code, `${who}: ${stop}`, { cause: cause.cause });
  }
}

/**
 * What was over or used up after the backup does not come alive with it: people sign in again, and tokens of enrollment that were open are not any more.
 * A ledger that is not what its manifest says is refused.
 */
async function begin(db: Storage, manifest: Manifest, clock: Clock): Promise<void> {
  const found = await readFacts(db);
  if (!isSame(found, manifest.ledger))
    throw new PlantgateError("INPUT_INVALID", "the ledger in this backup is not the one that its manifest describes");
  await db.transaction().execute(async (tx) => {
    await tx.deleteFrom("operator_sessions").execute();
    await tx.deleteFrom("signin_codes").execute();
    await tx.updateTable("enrollment_tokens").set({ expires_at: 0 }).where("used_at", "is", null).execute();
    await tx.deleteFrom("meta").where("name", "=", "seen").execute();
    await tx.deleteFrom("meta").where("name", "like", "replica:%").execute();
    const { takenAt, ledger } = manifest;
    await writeMeta(tx, restoredFrom, JSON.stringify({ takenAt, auditEntries: ledger.audit.entries }));
    const detail = { backup: manifest.id, takenAt, entries: ledger.audit.entries };
    await new Audit(clock).append(tx, { actor: "central", action: "backup.restored", subject: "central", detail });
  });
}

function isSame(one: LedgerFacts, other: LedgerFacts): boolean {
  return one.positions === other.positions && one.audit.head === other.audit.head && one.incarnation === other.incarnation;
}

/** What was restored from is a good backup, and the only one that the folder can know of. */
function noteSource(
  bytes: number,
  { file, keysFile, recoveryKey }: RestoreOptions,
  { id, takenAt }: Manifest,
  stage: string,
): void {
  writeNote(stage, {
    ...{ id, takenAt, bytes },
    file: resolve(file),
    keys: keysFile !== undefined,
    sealed: recoveryKey !== undefined,
  });
}

async function requireDatabase(url: string, replace: boolean, manifest: Manifest, dump: string): Promise<void> {
  const { tables, centrals, version, schema } = await databaseInUse(url);
  if (centrals > 0)
    throw new PlantgateError("DATA_FOLDER_LOCKED", "a central, or a backup, works on this database: stop every replica first");
  if (manifest.schema !== undefined && manifest.schema !== schema)
    throw new PlantgateError(
      "CONFIG_INVALID",
      `the backup is of a schema "${manifest.schema}", this database works in "${schema}": create that schema, and set search_path of the database or role to it`,
    );
  if (tables > 0 && !replace)
    throw new PlantgateError(
      "CONFIG_INVALID",
      "the database is not empty; with --replace what is there is moved aside, into a schema of another name, and the backup put in its place",
    );
  const [from, to] = [majorOf(manifest.server ?? version), majorOf(version)];
  if (from > to)
    throw new PlantgateError(
      "CONFIG_INVALID",
      `the backup is of a PostgreSQL ${from}, this server is version ${to}: restore it into one of version ${from} or newer`,
    );
  await requireTool("pg_restore", Math.max(from, to));
  await judgeDump(dump);
}

/** Whether nothing of a database lies aside; one that does not answer cannot tell. */
async function isBack(url: string, stamp: string): Promise<boolean> {
  return schemasThere(url, [schemaBefore(stamp)]).then(
    (there) => there.length === 0,
    () => false,
  );
}

function schemaBefore(stamp: string): string {
  return `before_${stamp.toLowerCase()}`;
}

/** @param notGiven undefined: the database held no whole ledger, so nobody knows who had rights on the one before */
function rightsWords(notGiven: readonly string[] | undefined): string[] {
  if (notGiven === undefined)
    return [
      "Rights of other roles are not in a backup: where something else reads this database, such as a report, give its role its rights again (GRANT).",
    ];
  if (notGiven.length === 0) return [];
  const shown = notGiven.length > 20 ? [...notGiven.slice(0, 20), `and ${notGiven.length - 20} more`] : notGiven;
  return [`Rights that were given before could not be given again; let the server's administrator do it: ${shown.join("; ")}`];
}

function warningsOf({ ledger, takenAt }: Manifest, missing: readonly string[], clock: Clock): string[] {
  const hours = (clock.now() - Date.parse(takenAt)) / 3_600_000;
  const { sealed } = ledger.secrets;
  return [
    ...(sealed > 0 && missing.length > 0
      ? [
          `The ${sealed} ${sealed === 1 ? "value of a secret" : "values of secrets"} in it cannot be opened: ${missing.length === 1 ? "the key" : "the keys"} ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing. Restore again with --keys FILE and --replace, or set every secret again; gateways go on with what they hold.`,
        ]
      : []),
    ...(hours > 1
      ? [
          `The backup is ${hours < 48 ? `${Math.floor(hours)} h` : `${Math.floor(hours / 24)} days`} old. Gateways keep what they had acknowledged for --recovery-point (an hour unless said otherwise): what is older and lay after the backup is lost, and will be shown as such.`,
        ]
      : []),
  ];
}
