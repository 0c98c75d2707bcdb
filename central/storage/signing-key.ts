import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { CompactSign, type CryptoKey, calculateJwkThumbprint, type JWK } from "jose";
import { z } from "zod";
import {
  PlantgateError,
  parseJson,
  type SigningKeyEntry,
  type SigningStatement,
  signingKeyEntry,
  toInstant,
} from "../../protocol/index.ts";
import { flushFolder, writeFlushed } from "./files.ts";

/** What signs for central now. The object is handed around, and goes on when the key is changed. */
export interface Signing {
  readonly kid: string;
  readonly privateKey: KeyObject | CryptoKey;
  /** SPKI PEM. */
  readonly publicKey: string;
}

/** Compact JWS (EdDSA) by central. `typ` where one kind of payload must never be taken for another. */
export function sign(
  { kid, privateKey }: Pick<Signing, "kid" | "privateKey">,
  payload: object | string,
  typ?: string,
): Promise<string> {
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  const header = { alg: "EdDSA", kid, ...(typ === undefined ? {} : { typ }) };
  return new CompactSign(Buffer.from(text)).setProtectedHeader(header).sign(privateKey);
}

const keyFile = z.looseObject({
  kty: z.literal("OKP"),
  crv: z.literal("Ed25519"),
  x: z.string(),
  d: z.string(),
  chain: z.array(signingKeyEntry).optional(),
});

/**
 * Central's own Ed25519 key and how it came to it. On disk: `signing-key.json` holds the key and the public chain up to it, `signing-key.next.json`
 * the one to change to. The chain lies in the file as well as in the ledger, so that a ledger that is restored from a backup of before a change
 * learns again what gateways have pinned since.
 */
export class SigningKey implements Signing {
  readonly #file: string;
  #current: Signing;
  #chain: readonly SigningKeyEntry[];

  private constructor(file: string, current: Signing, chain: readonly SigningKeyEntry[]) {
    this.#file = file;
    this.#current = current;
    this.#chain = chain;
  }

  /** Reads the key of a data folder, or makes it. @throws PlantgateError DISK_FAILED when there is a file without one */
  static async open(dataDir: string): Promise<SigningKey> {
    const file = join(dataDir, "signing-key.json");
    if (!existsSync(file)) writeFlushed(file, `${JSON.stringify(makeKey())}\n`);
    const { signing, chain } = await readKey(file);
    return new SigningKey(file, signing, chain ?? [{ kid: signing.kid, publicKey: signing.publicKey, statement: "" }]);
  }

  get kid(): string {
    return this.#current.kid;
  }
  get privateKey(): KeyObject | CryptoKey {
    return this.#current.privateKey;
  }
  get publicKey(): string {
    return this.#current.publicKey;
  }
  /** All that central ever signed with, the newest last; each but the first is introduced by the one before it. */
  get chain(): readonly SigningKeyEntry[] {
    return this.#chain;
  }
  get nextFile(): string {
    return join(dirname(this.#file), "signing-key.next.json");
  }

  /** The key to change to, where one lies ready. */
  async next(): Promise<Signing | undefined> {
    return existsSync(this.nextFile) ? (await readKey(this.nextFile)).signing : undefined;
  }

  /** As {@link next}, made where there is none; flushed on return. */
  async prepareNext(): Promise<Signing> {
    if (!existsSync(this.nextFile)) writeFlushed(this.nextFile, `${JSON.stringify(makeKey())}\n`);
    return (await readKey(this.nextFile)).signing;
  }

  /** Signed with the current key: the next one is central's as well. */
  async introduce(next: Signing, at: number, overlapMs: number): Promise<SigningKeyEntry> {
    const { kid, publicKey } = next;
    const statement: SigningStatement = {
      kind: "SigningKey",
      kid,
      publicKey,
      before: this.kid,
      at: toInstant(at),
      overlapUntil: toInstant(at + overlapMs),
    };
    return { kid, publicKey, statement: await sign(this, statement) };
  }

  /**
   * The chain goes on, as the ledger has it; where the key that lies ready is its newest, it is the current one. Flushed on return.
   * @returns whether this folder has the newest key
   */
  async follow(chain: readonly SigningKeyEntry[]): Promise<boolean> {
    const newest = chain.at(-1);
    if (!newest || (newest.kid === this.kid && this.#chain.length === chain.length)) return true;
    // the key of another folder, which came without what leads to it
    if (newest.kid === this.kid) {
      writeFlushed(this.#file, `${JSON.stringify({ ...(await readKey(this.#file)).jwk, chain })}\n`);
      this.#chain = chain;
      return true;
    }
    const next = existsSync(this.nextFile) ? await readKey(this.nextFile) : undefined;
    if (next?.signing.kid !== newest.kid) return false;
    writeFlushed(this.#file, `${JSON.stringify({ ...next.jwk, chain })}\n`);
    [this.#current, this.#chain] = [next.signing, chain];
    rmSync(this.nextFile, { force: true });
    flushFolder(dirname(this.#file));
    return true;
  }
}

function makeKey(): JWK {
  return generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" }) as JWK;
}

interface StoredKey {
  readonly signing: Signing;
  readonly jwk: JWK;
  readonly chain: readonly SigningKeyEntry[] | undefined;
}

async function readKey(file: string): Promise<StoredKey> {
  try {
    const { kty, crv, x, d, chain } = keyFile.parse(parseJson(readFileSync(file, "utf8")));
    const jwk = { kty, crv, x, d };
    const privateKey = createPrivateKey({ key: jwk, format: "jwk" });
    const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "pem" }).toString();
    return { signing: { kid: await calculateJwkThumbprint({ kty, crv, x }), privateKey, publicKey }, jwk, chain };
  } catch (cause) {
    throw new PlantgateError("DISK_FAILED", `${file} holds no signing key; restore it from its backup`, { cause });
  }
}
