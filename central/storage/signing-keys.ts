import { hostname } from "node:os";
import { z } from "zod";
import { type Clock, PlantgateError, parseJson, type SigningKeyEntry } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { Logger } from "../telemetry/logger.ts";
import { isPostgres, locking } from "./dialect.ts";
import { readMeta, writeMeta } from "./incarnation.ts";
import type { SigningKey } from "./signing-key.ts";
import type { Storage, StorageTransaction } from "./storage.ts";

export interface SigningKeysDeps {
  readonly storage: Storage;
  readonly signing: SigningKey;
  readonly dataDir: string;
  /** Names this data folder among the replicas of a database. */
  readonly place: string;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly log: Logger;
}

/** `overtaken`: somebody else changed it just now. `waits`: other replicas have not got the key that is to come; nothing was changed. */
export type RotateOutcome =
  | { readonly kind: "rotated"; readonly kid: string; readonly before: string; readonly overlapUntil: number }
  | { readonly kind: "overtaken" }
  | { readonly kind: "waits"; readonly kid: string; readonly file: string; readonly replicas: readonly string[] };

/** What a replica tells of itself, in `meta`. */
const replicaNote = z.object({ at: z.number(), host: z.string(), dataDir: z.string(), next: z.string().nullable() });
const noteName = "replica:";
const lookEveryMs = 2000;
/** A replica that told nothing for so long does not run; when it starts, it judges its key itself. */
const replicaLivesMs = 60_000;

/**
 * Central's signing keys as the ledger and all replicas have them. A change is one row with the old key's word for the new one; the private half
 * never goes through the database: on PostgreSQL a person copies `signing-key.next.json` to the other replicas first, and as long as one that runs
 * has not got it, the key is not changed (ADR 0096).
 */
export class SigningKeys {
  readonly #deps: SigningKeysDeps;
  #behind = false;

  constructor(deps: SigningKeysDeps) {
    this.#deps = deps;
  }

  get chain(): readonly SigningKeyEntry[] {
    return this.#deps.signing.chain;
  }

  /**
   * Brings folder and ledger together: a change that a crash cut off is finished, a ledger that was restored learns of changes since.
   * @param anew the key was lost for good, and a person decided to begin a chain anew: gateways have to be enrolled anew as well
   * @throws PlantgateError CONFIG_INVALID where the folder has not got the key that this central signs with
   */
  async join({ anew = false }: { anew?: boolean } = {}): Promise<void> {
    const { storage, signing, dataDir, audit } = this.#deps;
    await storage.transaction().execute(async (tx) => {
      // replicas that start together take turns
      await locking(tx, tx.selectFrom("counters").select("value").where("name", "=", "configuration")).execute();
      const told = await readChain(tx);
      const own = signing.chain;
      const before = told.at(-1)?.kid ?? (await readMeta(tx, "signing-key"));
      if (anew && before !== signing.kid) {
        await tx.deleteFrom("signing_keys").execute();
        await this.#insert(tx, own, 0);
        const detail = { kid: signing.kid, before: before ?? null };
        await audit.append(tx, { actor: "central", action: "signing-key.begunAnew", subject: "central", detail });
        return;
      }
      const isFirst = told.length > 0 || before === undefined || own.some(({ kid }) => kid === before);
      const missing =
        isFirst && told.length <= own.length && told.every(({ kid }, index) => own[index]?.kid === kid)
          ? own.slice(told.length)
          : undefined;
      if (missing) return this.#insert(tx, missing, told.length);
      if (told.some(({ kid }) => kid === signing.kid) && (await signing.follow(told))) return;
      throw new PlantgateError(
        "CONFIG_INVALID",
        `this ledger belongs to a central with another signing key: copy signing-key.json of another replica, or of the backup of its data folder, into ${dataDir}; if that key is lost for good, start once with --new-signing-key (newSigningKey: true in central.yaml), and enroll every gateway anew`,
      );
    });
  }

  /**
   * Changes the key that central signs with; what the one before signed is taken for the overlap. Durable on return.
   */
  async rotate(actor: string, overlapMs: number): Promise<RotateOutcome> {
    const { storage, signing, clock, audit } = this.#deps;
    const next = await signing.prepareNext();
    const replicas = (await this.#replicas()).filter((replica) => replica.next !== next.kid);
    if (replicas.length > 0) {
      const names = replicas.map(({ host, dataDir }) => `${host}:${dataDir}`);
      return { kind: "waits", kid: next.kid, file: signing.nextFile, replicas: names };
    }
    const before = signing.kid;
    const at = clock.now();
    const entry = await signing.introduce(next, at, overlapMs);
    const chain = await storage.transaction().execute(async (tx) => {
      await locking(tx, tx.selectFrom("counters").select("value").where("name", "=", "configuration")).execute();
      const told = await readChain(tx);
      if (told.at(-1)?.kid !== before) return undefined;
      await this.#insert(tx, [entry], told.length);
      await audit.append(tx, { actor, action: "signing-key.rotated", subject: "central", detail: { kid: entry.kid, before } });
      return [...told, entry];
    });
    if (!chain) return { kind: "overtaken" };
    await signing.follow(chain);
    return { kind: "rotated", kid: entry.kid, before, overlapUntil: at + overlapMs };
  }

  /** Follows what another replica changed; tells the others about this one. */
  async watch(signal: AbortSignal): Promise<void> {
    const { storage, clock, log, place } = this.#deps;
    while (!signal.aborted) {
      await this.#follow().catch((err: unknown) =>
        log.debug({ event: "signing-key.look.failed", err }, "whether the signing key was changed is looked at again"),
      );
      await clock.sleep(lookEveryMs, signal);
    }
    // nobody waits for this one any more
    await storage
      .deleteFrom("meta")
      .where("name", "=", noteName + place)
      .execute()
      .catch(() => {});
  }

  async #follow(): Promise<void> {
    const { storage, signing, log } = this.#deps;
    await this.#note();
    const newest = await storage.selectFrom("signing_keys").select("kid").orderBy("number", "desc").limit(1).executeTakeFirst();
    if (newest && newest.kid !== signing.kid && !(await signing.follow(await readChain(storage)))) {
      if (!this.#behind)
        log.error(
          { event: "signing-key.file.missing", kid: newest.kid, file: signing.nextFile },
          "central's signing key was changed and this replica has not got the new one: put signing-key.json of another replica into its data folder and start it again",
        );
      this.#behind = true;
      return;
    }
    this.#behind = false;
  }

  /** Says that this replica runs, and which key lies ready in its folder. */
  async #note(): Promise<void> {
    const { storage, signing, dataDir, place, clock } = this.#deps;
    if (!isPostgres(storage)) return;
    const note: z.infer<typeof replicaNote> = {
      at: clock.now(),
      host: hostname(),
      dataDir,
      next: (await signing.next())?.kid ?? null,
    };
    await writeMeta(storage, noteName + place, JSON.stringify(note));
  }

  /** The others that run. */
  async #replicas(): Promise<z.infer<typeof replicaNote>[]> {
    const { storage, clock, place } = this.#deps;
    if (!isPostgres(storage)) return [];
    const rows = await storage
      .selectFrom("meta")
      .select("value")
      .where("name", "like", `${noteName}%`)
      .where("name", "!=", noteName + place)
      .execute();
    const notes = rows.flatMap(({ value }) => replicaNote.safeParse(parseJson(value)).data ?? []);
    // clocks differ: one that told in what is the future here runs as well
    return notes.filter(({ at }) => clock.now() - at < replicaLivesMs);
  }

  async #insert(tx: StorageTransaction, entries: readonly SigningKeyEntry[], after: number): Promise<void> {
    for (const [index, { kid, publicKey, statement }] of entries.entries())
      await tx
        .insertInto("signing_keys")
        .values({ number: after + index + 1, kid, public_key: publicKey, statement, created_at: this.#deps.clock.now() })
        .execute();
  }
}

async function readChain(db: Storage | StorageTransaction): Promise<SigningKeyEntry[]> {
  const rows = await db.selectFrom("signing_keys").selectAll().orderBy("number").execute();
  return rows.map(({ kid, public_key, statement }) => ({ kid, publicKey: public_key, statement }));
}
