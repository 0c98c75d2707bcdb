import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { compactDecrypt } from "jose";
import {
  type Clock,
  describeError,
  type EpochMs,
  PlantgateError,
  parseJson,
  type SecretRef,
  type SecretSet,
  secretSet,
} from "../../protocol/index.ts";
import type { CentralKeys } from "../identity/central-keys.ts";
import type { SealingKey } from "../identity/identity.ts";
import type { Logger } from "../telemetry/logger.ts";
import { writeFlushed } from "../write-flushed.ts";

export interface SecretStoreDeps {
  readonly site: string;
  readonly dataDir: string;
  /** Secrets of this machine as `secrets_NAME` (systemd's LoadCredential); they serve like files of the data folder. */
  readonly credentialsDir?: string | undefined;
  /** All keys that what lies on disk may be sealed to. */
  readonly sealingKeys: () => readonly SealingKey[];
  readonly centralKeys: Pick<CentralKeys, "verify">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Now by central's clock, as far as it is known: ends of older values are told by that. */
  readonly centralNow: () => EpochMs | undefined;
}

interface Value {
  readonly version: number;
  /** When it was set, by central's clock. */
  readonly at: EpochMs;
  readonly text: string;
  readonly validUntil: EpochMs | undefined;
}
type Values = ReadonlyMap<string, readonly Value[]>;

/**
 * The site's secrets: central's, in one file, sealed as they came (only memory holds them in the clear); and files of this machine, credentials
 * of its service or `secrets/NAME` of the data folder, which serve where central has none of that name.
 */
export class SecretStore {
  readonly #deps: SecretStoreDeps;
  readonly #file: string;
  #values: Values = new Map();
  #set = "";
  /** How often each has got another value since the start: versions of one site and of all sites are counted apart. */
  readonly #changes = new Map<string, number>();

  private constructor(deps: SecretStoreDeps) {
    this.#deps = deps;
    this.#file = join(deps.dataDir, "secrets.sealed");
  }

  /** Reads what was kept. What cannot be read is passed over: central is asked for it again. */
  static async open(deps: SecretStoreDeps): Promise<SecretStore> {
    const store = new SecretStore(deps);
    if (!existsSync(store.#file)) return store;
    try {
      await store.#take(parseSet(await deps.centralKeys.verify(readFileSync(store.#file, "utf8"), "disk")));
    } catch (error) {
      deps.log.error(
        { event: "secret.store.failed", reason: describeError(error) },
        "the secrets on disk cannot be read; central is asked for them again",
      );
    }
    return store;
  }

  /** Names the set that is held; empty: none. */
  get set(): string {
    return this.#set;
  }

  /** The newest value. @throws PlantgateError SECRET_MISSING */
  get(ref: SecretRef): string {
    return this.all(ref)[0] as string;
  }

  /** Every value that is good now, the newest first: what comes in may still be made with an older one. @throws PlantgateError SECRET_MISSING */
  all({ secret: name }: SecretRef): readonly string[] {
    const values = this.#values.get(name);
    if (!values) return [this.#fromFile(name)];
    const now = this.#deps.centralNow();
    // without central's time an older value serves on: better than a plant that stands because of a clock (P5, P10)
    const good = values.filter(
      ({ validUntil }, index) => index === 0 || validUntil === undefined || now === undefined || now < validUntil,
    );
    return good.map(({ text }) => text);
  }

  /** Which values these secrets have, without saying them: whoever cannot change them in place begins anew when it changes. */
  mark(names: readonly string[]): string {
    return names
      .map((name) => `${name}:${this.#values.has(name) ? "central" : "file"}:${this.#changes.get(name) ?? 0}`)
      .join(",");
  }

  /**
   * Keeps a set that central sent: verified, unsealed, flushed before it is used.
   * @returns the names whose newest value is another one now
   * @throws PlantgateError SIGNATURE_INVALID: not central's, or not for this site; KEY_UNKNOWN: sealed to another key, or older than what is held
   */
  async accept(jws: string): Promise<ReadonlySet<string>> {
    const parsed = parseSet(await this.#deps.centralKeys.verify(jws, "central"));
    if (parsed.site !== this.#deps.site)
      throw new PlantgateError("SIGNATURE_INVALID", `the secrets are for site "${parsed.site}"`);
    const before = this.#values;
    const values = await this.#unseal(parsed);
    this.#refuseOlder(values, parsed.missing);
    writeFlushed(this.#file, Buffer.from(jws));
    this.#values = values;
    this.#set = parsed.set;
    const names = new Set([...before.keys(), ...values.keys()]);
    const changed = [...names].filter((name) => before.get(name)?.[0]?.text !== values.get(name)?.[0]?.text);
    for (const name of changed) this.#changes.set(name, (this.#changes.get(name) ?? 0) + 1);
    return new Set(changed);
  }

  /** A central that was restored from a backup knows older values, or none: those that work are kept until a person sets them again. */
  #refuseOlder(values: Values, missing: readonly string[]): void {
    const older = [...this.#values].filter(([name, [held]]) => {
      const next = values.get(name)?.[0];
      return next === undefined ? missing.includes(name) : next.at < (held as Value).at;
    });
    if (older.length === 0) return;
    const names = older.map(([name]) => name).join(", ");
    throw new PlantgateError(
      "KEY_UNKNOWN",
      `central knows older secrets than are held here (${names}): it was restored from a backup; set them again with "plantgate secret set"`,
    );
  }

  async #take(set: SecretSet): Promise<void> {
    this.#values = await this.#unseal(set);
    this.#set = set.set;
  }

  async #unseal({ site, secrets }: SecretSet): Promise<Values> {
    const values = new Map<string, readonly Value[]>();
    for (const [name, sealed] of Object.entries(secrets)) {
      const own: Value[] = [];
      for (const { version, at, jwe, validUntil } of sealed) {
        const text = await this.#open(jwe, { site, name, version });
        own.push({
          version,
          at: Date.parse(at),
          text,
          validUntil: validUntil === undefined ? undefined : Date.parse(validUntil),
        });
      }
      values.set(name, own);
    }
    return values;
  }

  async #open(jwe: string, { site, name, version }: { site: string; name: string; version: number }): Promise<string> {
    const options = { keyManagementAlgorithms: ["ECDH-ES+A256KW"], contentEncryptionAlgorithms: ["A256GCM"] };
    for (const { privateKey } of this.#deps.sealingKeys()) {
      try {
        const { plaintext, protectedHeader } = await compactDecrypt(jwe, privateKey, options);
        if (protectedHeader.site === site && protectedHeader.name === name && protectedHeader.version === version)
          return Buffer.from(plaintext).toString("utf8");
      } catch {
        // sealed to another key of this gateway, or to none
      }
    }
    throw new PlantgateError("KEY_UNKNOWN", `version ${version} of secret "${name}" is not sealed to a key of this gateway`);
  }

  #fromFile(name: string): string {
    const { dataDir, credentialsDir } = this.#deps;
    const file = join(dataDir, "secrets", name);
    const credential = credentialsDir === undefined ? undefined : join(credentialsDir, `secrets_${name}`);
    try {
      return readFileSync(credential !== undefined && existsSync(credential) ? credential : file, "utf8").trim();
    } catch (cause) {
      throw new PlantgateError(
        "SECRET_MISSING",
        `the secret "${name}" is missing: "plantgate secret set ${name}" at central gives it, or put it into ${file}`,
        { cause },
      );
    }
  }
}

/** @throws PlantgateError SIGNATURE_INVALID */
function parseSet(payload: Uint8Array): SecretSet {
  const parsed = secretSet.safeParse(parseJson(Buffer.from(payload).toString("utf8")));
  // what it holds instead is not said: it may be anything
  if (!parsed.success) throw new PlantgateError("SIGNATURE_INVALID", "what central sent is not a set of secrets");
  return parsed.data;
}
