import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from "jose";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { keep } from "../storage/folder.ts";

/** `secrets-key.json`. */
export const keyFile = z.strictObject({
  keys: z.array(z.strictObject({ kty: z.literal("oct"), kid: z.string().min(1), k: z.string().regex(/^[\w-]{43}$/) })).min(1),
});
type Keys = z.infer<typeof keyFile>["keys"];

/** What a value belongs to; sealed with it, so that a row that was put in another one's place is not taken for that. */
export interface SealedFor {
  readonly name: string;
  /** Empty: all sites. */
  readonly site: string;
  readonly version: number;
}

/**
 * The keys under which secrets lie in the database (rule 19): in a file of the data folder, apart from the database and its backups. The first one
 * seals, all of them unseal.
 */
export class Keyring {
  readonly #keys: Keys;

  private constructor(keys: Keys) {
    this.#keys = keys;
  }

  /**
   * Reads `secrets-key.json` of the data folder, making it (0600) where there is none.
   * @throws PlantgateError CONFIG_INVALID when it does not hold keys
   */
  static open(dataDir: string): Keyring {
    const file = join(dataDir, "secrets-key.json");
    let parsed: unknown;
    try {
      parsed = JSON.parse(keep(file, () => JSON.stringify({ keys: [fresh()] })));
    } catch (cause) {
      throw new PlantgateError("CONFIG_INVALID", `${file} cannot be read; restore it from the backup of the data folder`, {
        cause,
      });
    }
    const read = keyFile.safeParse(parsed);
    // what it holds is not said: it may be half a key
    if (!read.success)
      throw new PlantgateError("CONFIG_INVALID", `${file} does not hold keys; restore it from the backup of the data folder`);
    return new Keyring(read.data.keys);
  }

  /** Names the key that seals. */
  get kid(): string {
    return this.#keys[0]?.kid ?? "";
  }

  /** Compact JWE (dir, A256GCM); what it is for stands in its protected header. */
  seal(value: string, { name, site, version }: SealedFor): Promise<string> {
    return new CompactEncrypt(Buffer.from(value))
      .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid: this.kid, name, site, version })
      .encrypt(this.#secret(this.kid));
  }

  /** @throws PlantgateError KEY_UNKNOWN when its key is missing; SIGNATURE_INVALID when it was changed, or belongs to something else */
  async unseal(sealed: string, { name, site, version }: SealedFor): Promise<string> {
    const what = `version ${version} of secret "${name}"`;
    let header: ReturnType<typeof decodeProtectedHeader>;
    try {
      header = decodeProtectedHeader(sealed);
    } catch (cause) {
      throw new PlantgateError("SIGNATURE_INVALID", `${what} is damaged`, { cause });
    }
    const key = this.#secret(header.kid ?? "");
    if (header.name !== name || header.site !== site || header.version !== version)
      throw new PlantgateError("SIGNATURE_INVALID", `${what} belongs to something else`);
    try {
      const { plaintext } = await compactDecrypt(sealed, key, {
        keyManagementAlgorithms: ["dir"],
        contentEncryptionAlgorithms: ["A256GCM"],
      });
      return Buffer.from(plaintext).toString("utf8");
    } catch (cause) {
      throw new PlantgateError("SIGNATURE_INVALID", `${what} was changed`, { cause });
    }
  }

  #secret(kid: string): Uint8Array {
    const key = this.#keys.find((each) => each.kid === kid);
    if (key) return Buffer.from(key.k, "base64url");
    throw new PlantgateError(
      "KEY_UNKNOWN",
      `secrets-key.json of the data folder lacks the key ${kid}; restore it from a backup of the folder`,
    );
  }
}

function fresh(): Keys[number] {
  return { kty: "oct", kid: randomBytes(9).toString("base64url"), k: randomBytes(32).toString("base64url") };
}
