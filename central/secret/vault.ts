import { parse } from "yaml";
import { type Clock, durationMs, PlantgateError, secret as secretDocument, toInstant } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { SecretView } from "../http/api/secrets.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import type { Keyring } from "./keyring.ts";
import { siteSecrets } from "./site-secrets.ts";

/** One value of a secret, as it is handed to gateways. */
export interface SecretValue {
  readonly name: string;
  readonly version: number;
  readonly value: string;
  /** Since when the site has it, UTC: when it was set, or, of one for all sites, no earlier than the site's own last one was. */
  readonly at: string;
  /** UTC; an older one that is still good beside the newest. */
  readonly validUntil: string | undefined;
}

export interface VaultDeps {
  readonly storage: Storage;
  readonly keyring: Keyring;
  readonly audit: Audit;
  readonly clock: Clock;
}

/** How long before a value ends people are told, where its document does not say. */
const warnBeforeMs = 14 * 86_400_000;
const shownVersions = 20;

/**
 * Values of secrets: written by people, read by nobody but the gateways whose configuration names them, and sealed everywhere in between. A value
 * for one site goes before one for all of them.
 */
export class Vault {
  readonly #deps: VaultDeps;

  constructor(deps: VaultDeps) {
    this.#deps = deps;
  }

  /**
   * A new version; the one before stays good for `overlapMs` more, at receivers that can take two. Durable on return.
   * @returns the version
   */
  async set(
    secret: {
      readonly name: string;
      readonly site: string;
      readonly value: string;
      readonly overlapMs: number;
      readonly expiresAt?: number;
    },
    actor: string,
  ): Promise<number> {
    const { storage, keyring, audit, clock } = this.#deps;
    const { name, site, value, overlapMs, expiresAt } = secret;
    return storage.transaction().execute(async (tx) => {
      // the counter's row orders all that sets secrets, whichever replica it comes to
      await changed(tx);
      const last = await tx
        .selectFrom("secret_versions")
        .select((eb) => eb.fn.max("version").as("version"))
        .where("name", "=", name)
        .where("site", "=", site)
        .executeTakeFirst();
      const version = (last?.version ?? 0) + 1;
      const now = clock.now();
      await tx
        .updateTable("secret_versions")
        .set({ valid_until: now + overlapMs })
        .where("name", "=", name)
        .where("site", "=", site)
        .where("valid_until", "is", null)
        .execute();
      // what nobody may use any more is not kept, not even sealed
      await tx
        .updateTable("secret_versions")
        .set({ sealed: "" })
        .where("name", "=", name)
        .where("site", "=", site)
        .where("valid_until", "<=", now)
        .execute();
      const sealed = await keyring.seal(value, { name, site, version });
      await tx
        .insertInto("secret_versions")
        .values({
          name,
          site,
          version,
          sealed,
          created_at: now,
          created_by: actor,
          valid_until: null,
          expires_at: expiresAt ?? null,
        })
        .execute();
      const detail = {
        version,
        ...(site === "" ? {} : { site }),
        ...(overlapMs > 0 ? { overlapSeconds: Math.round(overlapMs / 1000) } : {}),
      };
      await audit.append(tx, {
        actor,
        action: overlapMs > 0 ? "secret.rotated" : "secret.set",
        subject: `Secret/${name}`,
        detail,
      });
      return version;
    });
  }

  /** Takes every value of a secret away, of one site or (empty) of all that have none of their own. @returns whether there was one */
  async remove(name: string, site: string, actor: string): Promise<boolean> {
    const { storage, audit, clock } = this.#deps;
    return storage.transaction().execute(async (tx) => {
      await changed(tx);
      const { numUpdatedRows } = await tx
        .updateTable("secret_versions")
        .set((eb) => ({ sealed: "", valid_until: eb.fn.coalesce("valid_until", eb.val(clock.now())) }))
        .where("name", "=", name)
        .where("site", "=", site)
        .where("sealed", "<>", "")
        .executeTakeFirst();
      if (numUpdatedRows === 0n) return false;
      await audit.append(tx, {
        actor,
        action: "secret.removed",
        subject: `Secret/${name}`,
        ...(site === "" ? {} : { detail: { site } }),
      });
      return true;
    });
  }

  /** The values that a site may have of these names, newest first; those that cannot be unsealed are left out and named. */
  async valuesFor(
    site: string,
    names: readonly string[],
  ): Promise<{ readonly values: SecretValue[]; readonly locked: string[] }> {
    const { keyring, clock } = this.#deps;
    const values: SecretValue[] = [];
    const locked: string[] = [];
    const ownAt = await this.#lastOwn(site, names);
    for (const row of await this.#rows(site, names)) {
      if (row.valid_until !== null && row.valid_until <= clock.now()) continue;
      const { name, version, created_at, valid_until } = row;
      try {
        const value = await keyring.unseal(row.sealed, row);
        values.push({
          name,
          version,
          value,
          // one for all sites follows on the site's own that was taken away: it is no older one of a central that was restored
          at: toInstant(Math.max(created_at, ownAt.get(name) ?? created_at)),
          validUntil: valid_until === null ? undefined : toInstant(valid_until),
        });
      } catch (error) {
        if (!(error instanceof PlantgateError)) throw error;
        locked.push(error.message);
      }
    }
    return { values, locked };
  }

  /** Which versions a site may have of these names, and until when: all that tells two sets apart, without a value. */
  async versionsFor(
    site: string,
    names: readonly string[],
  ): Promise<readonly (readonly [string, string, number, number | null])[]> {
    const { clock } = this.#deps;
    const rows = await this.#rows(site, names);
    return rows
      .filter(({ valid_until }) => valid_until === null || valid_until > clock.now())
      .map((row) => [row.name, row.site, row.version, row.valid_until] as const);
  }

  /** Those of these names that never had a value which a site could have. */
  async missing(site: string, names: readonly string[]): Promise<string[]> {
    if (names.length === 0) return [];
    const rows = await this.#deps.storage
      .selectFrom("secret_versions")
      .select("name")
      .distinct()
      .where("name", "in", [...names])
      .where("site", "in", [site, ""])
      .execute();
    const known = new Set(rows.map(({ name }) => name));
    return names.filter((name) => !known.has(name));
  }

  /** All secrets that a document or a value speaks of, with what a person should do about them. */
  async list(): Promise<SecretView[]> {
    return (await this.#looked()).map(({ due, unowned, ...view }) => ({
      ...view,
      warnings: [...due, ...(unowned ? ["no document says who owns it and what it is for"] : [])],
    }));
  }

  /** Secrets that were given to central, with what should be done about each by a day that is near or over. */
  async due(): Promise<{ readonly name: string; readonly reasons: readonly string[] }[]> {
    const given = (await this.#looked()).filter(({ versions }) => versions.length > 0);
    return given.map(({ name, due }) => ({ name, reasons: due }));
  }

  async #looked() {
    const { storage, clock } = this.#deps;
    const now = clock.now();
    const documents = await storage
      .selectFrom("document_revisions as d")
      .select(["d.name", "d.owner", "d.purpose", "d.text", "d.revision"])
      .where("d.kind", "=", "Secret")
      .orderBy("d.name")
      .orderBy("d.revision")
      .execute();
    const versions = await storage
      .selectFrom("secret_versions")
      .selectAll()
      .orderBy("name")
      .orderBy("site")
      .orderBy("version", "desc")
      .execute();
    const { missing } = await siteSecrets(storage);
    // the newest revision stands last
    const documentOf = new Map(documents.map((document) => [document.name, document]));
    const names = new Set([...documentOf.keys(), ...versions.map(({ name }) => name), ...missing.keys()]);
    return [...names].sort().map((name) => {
      const document = documentOf.get(name);
      const own = versions.filter((row) => row.name === name);
      const current = own.filter((row) => row.valid_until === null && row.sealed !== "");
      const schedule = scheduleOf(document?.text);
      const due = [
        ...(missing.get(name) ?? []).map((site) => `site "${site}" names it, and has no value for it`),
        ...current.flatMap((row) => endings(row, schedule, now)),
      ];
      return {
        name,
        owner: document?.owner ?? null,
        purpose: document?.purpose ?? null,
        versions: own.slice(0, shownVersions).map((row) => ({
          site: row.site,
          version: row.version,
          createdAt: toInstant(row.created_at),
          createdBy: row.created_by,
          validUntil: row.valid_until === null ? null : toInstant(row.valid_until),
          expiresAt: row.expires_at === null ? null : toInstant(row.expires_at),
        })),
        due,
        unowned: document === undefined && own.length > 0,
      };
    });
  }

  /** How often secrets were set: whoever keeps what he read of them knows by it whether that still holds. */
  async count(): Promise<number> {
    const { value } = await this.#deps.storage
      .selectFrom("counters")
      .select("value")
      .where("name", "=", "secrets")
      .executeTakeFirstOrThrow();
    return value;
  }

  /** When a site was last given a value of its own. */
  async #lastOwn(site: string, names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    if (names.length === 0) return new Map();
    const rows = await this.#deps.storage
      .selectFrom("secret_versions")
      .select((eb) => ["name", eb.fn.max("created_at").as("at")])
      .where("name", "in", [...names])
      .where("site", "=", site)
      .groupBy("name")
      .execute();
    return new Map(rows.map(({ name, at }) => [name, Number(at)]));
  }

  /** A site's own values of a name hide those for all. */
  async #rows(site: string, names: readonly string[]) {
    if (names.length === 0) return [];
    const rows = await this.#deps.storage
      .selectFrom("secret_versions")
      .selectAll()
      .where("name", "in", [...names])
      .where("site", "in", [site, ""])
      .where("sealed", "<>", "")
      .orderBy("name")
      .orderBy("version", "desc")
      .execute();
    const own = new Set(rows.filter((row) => row.site === site && row.valid_until === null).map(({ name }) => name));
    return rows.filter((row) => (own.has(row.name) ? row.site === site : row.site === ""));
  }
}

async function changed(tx: StorageTransaction): Promise<void> {
  await tx
    .updateTable("counters")
    .set((eb) => ({ value: eb("value", "+", 1) }))
    .where("name", "=", "secrets")
    .execute();
}

interface Schedule {
  readonly everyMs: number | undefined;
  readonly warnMs: number;
}

function scheduleOf(text: string | undefined): Schedule {
  const rotate = text === undefined ? undefined : secretDocument.safeParse(parse(text)).data?.spec.rotate;
  return {
    everyMs: rotate?.every === undefined ? undefined : durationMs(rotate.every),
    warnMs: rotate?.warnBefore === undefined ? warnBeforeMs : durationMs(rotate.warnBefore),
  };
}

function endings(
  row: { readonly site: string; readonly created_at: number; readonly expires_at: number | null },
  { everyMs, warnMs }: Schedule,
  now: number,
): string[] {
  const whose = row.site === "" ? "its value" : `its value for site "${row.site}"`;
  const said: string[] = [];
  if (row.expires_at !== null && row.expires_at <= now) said.push(`${whose} expired ${daysOf(now - row.expires_at)} ago`);
  else if (row.expires_at !== null && row.expires_at - now <= warnMs)
    said.push(`${whose} expires in ${daysOf(row.expires_at - now)}`);
  const due = everyMs === undefined ? undefined : row.created_at + everyMs;
  if (due !== undefined && due <= now) said.push(`${whose} should have been rotated ${daysOf(now - due)} ago`);
  else if (due !== undefined && due - now <= warnMs) said.push(`${whose} is to be rotated in ${daysOf(due - now)}`);
  return said;
}

function daysOf(ms: number): string {
  const days = Math.floor(ms / 86_400_000);
  return days === 0 ? "less than a day" : days === 1 ? "a day" : `${days} days`;
}
