import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PlantgateError, type SealKey } from "../../protocol/index.ts";
import { isNoRoom, writeFlushed } from "../write-flushed.ts";

/** What secrets are sealed to (X25519). */
export interface SealingKey {
  readonly privateKey: KeyObject;
  readonly publicJwk: SealKey;
}

/** One generation of a gateway's keys: one to sign with (Ed25519), one to unseal with. They come and go together. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  /** SPKI PEM, what `plantgate site add --public-key` takes. */
  readonly publicPem: string;
  /** SHA-256 over the public key's DER, hex: what two people compare, and how tokens name it (`kid`). */
  readonly fingerprint: string;
  readonly sealing: SealingKey;
}

type PairsNewestFirst = readonly [KeyPair, ...KeyPair[]];
/** So many changes of keys may pass before what lies sealed on disk is sealed anew. */
const keptPairs = 3;

/** How files of keys are written; tests pass one that stops in the middle. */
export interface KeyDisk {
  /** Whole or not at all, flushed on return. */
  write(file: string, content: Uint8Array): void;
  remove(file: string): void;
}
const disk: KeyDisk = { write: writeFlushed, remove: (file) => rmSync(file, { force: true }) };

/**
 * The gateway's own keys; the private halves never leave the data folder. Modes: one pair (`current`); a second one that was made and flushed, and
 * that central may or may not know yet (`next`); `next` became `current`, and the pairs before are kept (`before`, the last one in use first), as a central that is restored from a
 * backup knows only another one, and secrets on disk may still be sealed to it.
 *
 * On disk: `gateway.key` holds current and before, `gateway.key.next` the next pair. Each is replaced whole, so that a crash at any moment
 * leaves a pair that central knows.
 */
export class Identity {
  readonly #folder: string;
  readonly #disk: KeyDisk;
  #current: KeyPair;
  #before: readonly KeyPair[];
  #next: KeyPair | undefined;

  private constructor(folder: string, disk: KeyDisk, [current, ...before]: PairsNewestFirst, next: KeyPair | undefined) {
    this.#folder = folder;
    this.#disk = disk;
    this.#current = current;
    this.#before = before;
    this.#next = next;
  }

  /** Reads the keys of a data folder, making them at the first start (0600). */
  static open(dataDir: string, files: KeyDisk = disk): Identity {
    const folder = join(dataDir, "identity");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const file = join(folder, "gateway.key");
    const found = existsSync(file) ? readKeys(file) : undefined;
    const pairs = toPairs(found ?? [makeSigning(), makeSealing()], file);
    // a folder of before there were two
    if (found === undefined || found.length === 1) files.write(file, toPem(pairs));
    chmodSync(file, 0o600);
    const newest = pairs as [KeyPair, ...KeyPair[]];
    const identity = new Identity(folder, files, newest, openNext(`${file}.next`, newest[0], files));
    identity.#writeForPeople();
    return identity;
  }

  get privateKey(): KeyObject {
    return this.#current.privateKey;
  }
  get publicPem(): string {
    return this.#current.publicPem;
  }
  get fingerprint(): string {
    return this.#current.fingerprint;
  }
  /** What secrets should be sealed to now. */
  get sealing(): SealingKey {
    return this.#current.sealing;
  }
  /** All that secrets may be sealed to that are on their way or on disk; the current one first. */
  get sealingKeys(): readonly SealingKey[] {
    return [this.#current, this.#next, ...this.#before].flatMap((pair) => (pair ? [pair.sealing] : []));
  }

  get current(): KeyPair {
    return this.#current;
  }
  get next(): KeyPair | undefined {
    return this.#next;
  }
  get before(): KeyPair | undefined {
    return this.#before[0];
  }

  /** The pair to change to; made, and flushed, where there is none yet. */
  prepareNext(): KeyPair {
    if (this.#next) return this.#next;
    const [next] = toPairs([makeSigning(), makeSealing()], "") as [KeyPair];
    this.#disk.write(`${this.#file}.next`, toPem([next]));
    this.#next = next;
    return next;
  }

  /** The next pair is the current one; central knows it. Flushed on return. */
  changeOver(): void {
    const next = this.#next;
    if (!next) return;
    const before = [this.#current, ...this.#before].slice(0, keptPairs);
    this.#disk.write(this.#file, toPem([next, ...before]));
    [this.#current, this.#before, this.#next] = [next, before, undefined];
    this.#disk.remove(`${this.#file}.next`);
    this.#writeForPeople();
  }

  /** All but the current one that central may know. */
  get others(): readonly KeyPair[] {
    return [...(this.#next ? [this.#next] : []), ...this.#before];
  }

  /**
   * Central knows this one of the others, and not the current one: a change was cut off and its overlap is over, or central was restored from
   * a backup. None is given up by that. Flushed on return.
   */
  settleOn(fingerprint: string): void {
    if (this.#next?.fingerprint === fingerprint) return this.changeOver();
    const known = this.#before.find((pair) => pair.fingerprint === fingerprint);
    if (!known) return;
    // newer ones stay: central may be set back once more, to where it knows one of them only
    const others = [this.#current, ...this.#before].filter((pair) => pair !== known).slice(0, keptPairs);
    this.#disk.write(this.#file, toPem([known, ...others]));
    [this.#current, this.#before] = [known, others];
    this.#writeForPeople();
  }

  /** Central will not have it: another one is made the next time. */
  discardNext(): void {
    this.#disk.remove(`${this.#file}.next`);
    this.#next = undefined;
  }

  get #file(): string {
    return join(this.#folder, "gateway.key");
  }

  /** What only people read may be missing while the disk is full. */
  #writeForPeople(): void {
    const file = join(this.#folder, "gateway.pub");
    try {
      if (!existsSync(file) || readFileSync(file, "utf8") !== this.publicPem) writeFileSync(file, this.publicPem);
    } catch (error) {
      if (!isNoRoom(error)) throw error;
    }
  }
}

/** All pairs of a data folder as they lie there, the current one first; undefined where none were made yet. Only looks. @throws PlantgateError CONFIG_INVALID */
export function lookAtKeys(dataDir: string): readonly KeyPair[] | undefined {
  const file = join(dataDir, "identity", "gateway.key");
  if (!existsSync(file)) return undefined;
  const pairs = toPairs(readKeys(file), file);
  const next = openNext(`${file}.next`, pairs[0] as KeyPair, { ...disk, remove: () => {} });
  return next ? [pairs[0] as KeyPair, next, ...pairs.slice(1)] : pairs;
}

/** @returns the pair that waits; undefined where there is none that can be read, or where it became the current one already */
function openNext(file: string, current: KeyPair, files: KeyDisk): KeyPair | undefined {
  if (!existsSync(file)) return undefined;
  let next: KeyPair | undefined;
  try {
    [next] = toPairs(readKeys(file), file);
  } catch {
    // damaged: no reason for a plant to stand still, another one is made in its place
    return undefined;
  }
  if (next && next.fingerprint !== current.fingerprint) return next;
  files.remove(file);
  return undefined;
}

function makeSigning(): KeyObject {
  return generateKeyPairSync("ed25519").privateKey;
}
function makeSealing(): KeyObject {
  return generateKeyPairSync("x25519").privateKey;
}

/** Undefined stands for one that cannot be read. */
function readKeys(file: string): (KeyObject | undefined)[] {
  const blocks = readFileSync(file, "utf8").match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g) ?? [];
  return blocks.map((block) => {
    try {
      return createPrivateKey(block);
    } catch {
      return undefined;
    }
  });
}

/**
 * What is damaged behind the first pair is passed over: it is no reason for a plant to stand still.
 * @throws PlantgateError CONFIG_INVALID where the first two are no pair of what signs and what unseals
 */
function toPairs(keys: readonly (KeyObject | undefined)[], file: string): KeyPair[] {
  const pairs: KeyPair[] = [];
  for (let index = 0; index < keys.length; index += 1) {
    const privateKey = keys[index];
    const sealing = keys.length === 1 ? makeSealing() : keys[index + 1];
    if (privateKey?.asymmetricKeyType === "ed25519" && sealing?.asymmetricKeyType === "x25519") {
      pairs.push(toPair(privateKey, sealing));
      index += 1;
    } else if (pairs.length === 0) break;
  }
  if (pairs.length > 0) return pairs;
  throw new PlantgateError("CONFIG_INVALID", `${file} does not hold the gateway's keys; restore it, or enroll the gateway anew`);
}

function toPair(privateKey: KeyObject, sealing: KeyObject): KeyPair {
  const publicKey = createPublicKey(privateKey);
  const { x = "" } = createPublicKey(sealing).export({ format: "jwk" });
  return {
    privateKey,
    publicPem: publicKey.export({ type: "spki", format: "pem" }) as string,
    fingerprint: createHash("sha256")
      .update(publicKey.export({ type: "spki", format: "der" }))
      .digest("hex"),
    sealing: { privateKey: sealing, publicJwk: { kty: "OKP", crv: "X25519", x } },
  };
}

function toPem(pairs: readonly KeyPair[]): Buffer {
  const keys = pairs.flatMap((pair) => [pair.privateKey, pair.sealing.privateKey]);
  return Buffer.from(keys.map((key) => key.export({ type: "pkcs8", format: "pem" })).join(""));
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
