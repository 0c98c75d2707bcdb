import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BuildError } from "./command.ts";

/** What packages are signed with, and the keys that follow-ups of this version may be signed with. */
export interface ReleaseKey {
  readonly privateKey: KeyObject;
  /** Public keys as release-keys.pem holds them: this one, and those of the future. */
  readonly publicKeys: string;
  /** Set when no key was given: the one made here once. */
  readonly ownFile?: string;
}

/** @throws BuildError for a key that is none, or not Ed25519 */
export function openReleaseKey(given: string | undefined, ownFolder: string, alsoTrusted: readonly string[] = []): ReleaseKey {
  const ownFile = join(ownFolder, "release-key.pem");
  if (given === undefined && !existsSync(ownFile)) {
    mkdirSync(ownFolder, { recursive: true, mode: 0o700 });
    const { privateKey } = generateKeyPairSync("ed25519");
    writeFileSync(ownFile, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600, flag: "wx" });
  }
  const file = given ?? ownFile;
  const privateKey = readKey(file, createPrivateKey);
  const publicKeys = [createPublicKey(privateKey), ...alsoTrusted.map((name) => readKey(name, createPublicKey))]
    .map((key) => key.export({ type: "spki", format: "pem" }).toString())
    .join("");
  return { privateKey, publicKeys, ...(given === undefined ? { ownFile } : {}) };
}

function readKey(file: string, parse: (text: string) => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new BuildError(`${file} holds no key in PEM that can be read: ${(cause as Error).message}`, { cause });
  }
  if (key.asymmetricKeyType !== "ed25519")
    throw new BuildError(
      `${file} holds a key of type ${key.asymmetricKeyType}; make one with: openssl genpkey -algorithm ed25519 -out ${file}`,
    );
  return key;
}

/** Writes FILE.sig: the raw Ed25519 signature over FILE's bytes, base64, one line. */
export async function signFile(file: string, { privateKey }: ReleaseKey): Promise<void> {
  await writeFile(`${file}.sig`, `${sign(null, await readFile(file), privateKey).toString("base64")}\n`);
}
