import { createHash } from "node:crypto";
import { CompactEncrypt, importJWK } from "jose";
import type { Clock, SealKey, SecretSet } from "../../protocol/index.ts";
import type { SiteRow } from "../site/registry.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";
import { namesIn } from "./site-secrets.ts";
import type { Vault } from "./vault.ts";

export interface SetDeps {
  readonly storage: Storage;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sign: (payload: SecretSet) => Promise<string>;
  /** What a site's secrets are sealed to; undefined: its gateway has no such key. */
  readonly sealKeyOf: (
    db: Storage | StorageTransaction,
    site: string,
  ) => Promise<{ readonly fingerprint: string; readonly sealKey: SealKey } | undefined>;
}

/** What a site's set was made of, as long as it holds. */
interface Known {
  readonly desired: number;
  readonly reported: number;
  readonly digest: string | undefined;
  readonly at: number;
}

/** How long an answer to "was anything set?" serves: with a poll's own second, a new value is on its way within two. */
const countedForMs = 1000;
/** How long a site's answer serves while nothing is set: an older value's end, and another key to seal to, are noticed by then. */
const knownForMs = 10_000;

/**
 * The secrets of each site on their way to its gateway: of the names in its desired configuration, in the one that it reports, and in the one that its gateway may go back to by itself, sealed to its own
 * key when it fetches them and never before (rule 19).
 */
export class SecretSets {
  readonly #deps: SetDeps;
  readonly #known = new Map<string, Known>();
  #count = -1;
  #countedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: SetDeps) {
    this.#deps = deps;
  }

  /** Something was set here: polls that look next see it. */
  forget(): void {
    this.#countedAt = Number.NEGATIVE_INFINITY;
  }

  /** Names the set that the site should have; undefined: central has none for it. */
  async digest(site: Pick<SiteRow, "name" | "desired_revision" | "reported_revision">): Promise<string | undefined> {
    const now = this.#deps.clock.monotonic();
    await this.#look(now);
    const { name, desired_revision: desired, reported_revision: reported } = site;
    const known = this.#known.get(name);
    if (known?.desired === desired && known.reported === reported && now - known.at < knownForMs) return known.digest;
    const names = await this.#names(site);
    const [versions, missing] = await this.#judge(name, names);
    // where it never had any value for the site, files of the gateway serve, and nothing has to be fetched
    const any = missing.length < names.length;
    const seal = any ? await this.#deps.sealKeyOf(this.#deps.storage, name) : undefined;
    const digest = seal && digestOf(name, seal.fingerprint, [versions, missing]);
    // a gateway that has yet to tell its key does so any moment
    if (seal || !any) this.#known.set(name, { desired, reported, digest, at: now });
    return digest;
  }

  /** The set as its gateway fetches it: a compact JWS; undefined: there is none. */
  async fetch(
    site: Pick<SiteRow, "name" | "desired_revision" | "reported_revision">,
  ): Promise<{ set: string; jws: string } | undefined> {
    const { vault, storage, sealKeyOf, sign, log } = this.#deps;
    const names = await this.#names(site);
    const [versions, missing] = await this.#judge(site.name, names);
    const seal = await sealKeyOf(storage, site.name);
    if (missing.length === names.length || !seal) return undefined;
    const { values, locked } = await vault.valuesFor(site.name, names);
    for (const reason of locked)
      log.error(
        { event: "secret.value.locked", site: site.name, reason },
        "a secret cannot be unsealed, its gateway goes without",
      );
    const key = await importJWK(seal.sealKey, "ECDH-ES+A256KW");
    const secrets: SecretSet["secrets"] = {};
    for (const { name, version, value, at, validUntil } of values) {
      const jwe = await new CompactEncrypt(Buffer.from(value))
        .setProtectedHeader({ alg: "ECDH-ES+A256KW", enc: "A256GCM", site: site.name, name, version })
        .encrypt(key);
      secrets[name] = [...(secrets[name] ?? []), { version, at, jwe, ...(validUntil === undefined ? {} : { validUntil }) }];
    }
    const set = digestOf(site.name, seal.fingerprint, [versions, missing]);
    const payload: SecretSet = { kind: "SecretSet", site: site.name, set, secrets, missing };
    return { set, jws: await sign(payload) };
  }

  async #judge(site: string, names: readonly string[]) {
    const { vault } = this.#deps;
    return [await vault.versionsFor(site, names), await vault.missing(site, names)] as const;
  }

  /** What a site holds is judged anew once anything was set anywhere. */
  async #look(now: number): Promise<void> {
    if (now - this.#countedAt < countedForMs) return;
    this.#countedAt = now;
    const count = await this.#deps.vault.count();
    if (count !== this.#count) this.#known.clear();
    this.#count = count;
  }

  async #names({
    name,
    desired_revision,
    reported_revision,
  }: Pick<SiteRow, "name" | "desired_revision" | "reported_revision">): Promise<string[]> {
    const { storage } = this.#deps;
    // on trial a revision is reported already, and the way back from it must not wait for central (P5)
    const rollout = await storage
      .selectFrom("rollout_sites")
      .select("from_revision")
      .where("site", "=", name)
      .orderBy("rollout", "desc")
      .limit(1)
      .executeTakeFirst();
    const pushed = await storage
      .selectFrom("revisions")
      .select((eb) => eb.fn.max("revision").as("revision"))
      .where("site", "=", name)
      .where("revision", "<", desired_revision)
      .executeTakeFirst();
    const back = [rollout?.from_revision ?? 0, pushed?.revision ?? 0];
    const rows = await storage
      .selectFrom("revisions")
      .select("bundle")
      .where("site", "=", name)
      .where("revision", "in", [desired_revision, reported_revision, ...back])
      .execute();
    return [...new Set(rows.flatMap(({ bundle }) => namesIn(bundle).map((use) => use.name)))].sort();
  }
}

function digestOf(site: string, fingerprint: string, versions: readonly unknown[]): string {
  return createHash("sha256")
    .update(JSON.stringify([site, fingerprint, versions]))
    .digest("hex");
}

/** The X25519 key of a site's active gateway. */
export async function sealKeyOf(db: Storage | StorageTransaction, site: string) {
  const row = await db
    .selectFrom("gateway_keys")
    .select(["fingerprint", "seal_key"])
    .where("site", "=", site)
    .where("state", "=", "active")
    .executeTakeFirst();
  if (!row || row.seal_key === null) return undefined;
  return { fingerprint: row.fingerprint, sealKey: JSON.parse(row.seal_key) as SealKey };
}
