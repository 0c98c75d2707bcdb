import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PlantgateError } from "../../protocol/index.ts";
import { isNoRoom, writeFlushed } from "../write-flushed.ts";

/** The gateway's own key pair (Ed25519); the private half never leaves the data folder. */
export interface Identity {
  readonly privateKey: KeyObject;
  /** SPKI PEM, what `plantgate site add --public-key` takes. */
  readonly publicPem: string;
  /** SHA-256 over the public key's DER, hex: what two people compare. */
  readonly fingerprint: string;
}

/** Reads the key pair of a data folder, making it at the first start (0600). */
export function openIdentity(dataDir: string): Identity {
  const folder = join(dataDir, "identity");
  const keyFile = join(folder, "gateway.key");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (!existsSync(keyFile)) {
    const { privateKey } = generateKeyPairSync("ed25519");
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    writeFlushed(keyFile, Buffer.from(pem));
  }
  chmodSync(keyFile, 0o600);
  const privateKey = createPrivateKey(readFileSync(keyFile));
  const publicKey = createPublicKey(privateKey);
  const publicPem = publicKey.export({ type: "spki", format: "pem" }) as string;
  writeForPeople(join(folder, "gateway.pub"), publicPem);
  return {
    privateKey,
    publicPem,
    fingerprint: createHash("sha256")
      .update(publicKey.export({ type: "spki", format: "der" }))
      .digest("hex"),
  };
}

/** What only people read may be missing while the disk is full. */
function writeForPeople(file: string, text: string): void {
  try {
    if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileSync(file, text);
  } catch (error) {
    if (!isNoRoom(error)) throw error;
  }
}

/** @throws PlantgateError CONFIG_INVALID when the file is missing or holds no Ed25519 public key */
export function readCentralKey(file: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey(readFileSync(file));
  } catch (cause) {
    throw new PlantgateError(
      "CONFIG_INVALID",
      `central's public key cannot be read from ${file}; "plantgate site add" prints it`,
      { cause },
    );
  }
  if (key.asymmetricKeyType !== "ed25519")
    throw new PlantgateError("CONFIG_INVALID", `${file} does not hold an Ed25519 public key`);
  return key;
}
