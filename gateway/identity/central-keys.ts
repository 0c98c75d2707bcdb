import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { compactVerify, decodeProtectedHeader } from "jose";
import { z } from "zod";
import {
  type EpochMs,
  PlantgateError,
  parseJson,
  type SigningChain,
  type SigningKeyEntry,
  signingChain,
  signingStatement,
} from "../../protocol/index.ts";
import { writeFlushed } from "../write-flushed.ts";

const pinned = z.strictObject({
  /** All that were ever pinned, the newest last; `until`: what comes from central is taken from it until then, by central's clock. */
  keys: z.array(z.strictObject({ kid: z.string(), publicKey: z.string(), until: z.number().optional() })).min(1),
});
type Pinned = z.infer<typeof pinned>["keys"][number];

export interface CentralKeysDeps {
  readonly dataDir: string;
  /** A public key (PEM) that a person handed over. Where it is none of those that are pinned, it counts, and they do not. */
  readonly handedOver?: KeyObject | undefined;
  /** Asks central for its chain. @throws PlantgateError PEER_UNREACHABLE */
  readonly fetchChain?: () => Promise<unknown>;
  readonly centralNow?: () => EpochMs | undefined;
}

/**
 * Central's signing keys, as far as this gateway follows them: from the one that was pinned at enrollment each next one is introduced by the
 * one before (ADR 0096). What lies on our disk was judged when it came, and is taken with any key that was ever pinned: a plant never stops as central
 * changed its key.
 */
export class CentralKeys {
  readonly #deps: CentralKeysDeps;
  #keys: readonly Pinned[];

  private constructor(deps: CentralKeysDeps, keys: readonly Pinned[]) {
    this.#deps = deps;
    this.#keys = keys;
  }

  /** @throws PlantgateError CONFIG_INVALID where nothing was pinned, and nothing handed over */
  static open(deps: CentralKeysDeps): CentralKeys {
    const stored = readPinned(deps.dataDir);
    if (deps.handedOver === undefined) {
      if (stored) return new CentralKeys(deps, stored);
      throw new PlantgateError(
        "CONFIG_INVALID",
        'this gateway does not know central\'s public key yet: enroll it ("plantgate enroll"), or give it --central-key FILE',
      );
    }
    const publicKey = deps.handedOver.export({ type: "spki", format: "pem" }) as string;
    const kid = kidOf(publicKey);
    return new CentralKeys(deps, stored?.some((key) => key.kid === kid) ? stored : [{ kid, publicKey }]);
  }

  /** A chain that a person, or an enrollment, vouches for; pinned once it is saved. @throws PlantgateError SIGNATURE_INVALID for one that is broken */
  static async judge(dataDir: string, chain: SigningChain): Promise<CentralKeys> {
    const [first] = chain.keys as [SigningKeyEntry];
    const keys = await follow([{ kid: kidOf(first.publicKey), publicKey: first.publicKey }], chain);
    return new CentralKeys({ dataDir }, keys);
  }

  /** Flushed on return. */
  save(): void {
    writePinned(this.#deps.dataDir, this.#keys);
  }

  /** The key that central signs with now, as far as is known. */
  get newest(): string {
    return this.#keys.at(-1)?.kid ?? "";
  }

  /** Whether what was signed names a key that is pinned here. */
  knowsSignerOf(jws: string): boolean {
    const kid = kidIn(jws) ?? this.newest;
    return this.#keys.some((key) => key.kid === kid);
  }

  /** Central names this key as its newest one. @throws PlantgateError KEY_UNKNOWN, SIGNATURE_INVALID: it cannot show how it came to it */
  async expect(kid: string): Promise<void> {
    if (this.#keys.some((key) => key.kid === kid) || !this.#deps.fetchChain) return;
    const chain = signingChain.safeParse(await this.#deps.fetchChain());
    if (!chain.success)
      throw new PlantgateError("PEER_UNREACHABLE", "central's chain of signing keys was not understood", {
        context: { answered: true },
      });
    await this.learn(chain.data);
  }

  /** Pins what follows the newest key that is known; flushed on return, unless one wants to see more first. @throws PlantgateError KEY_UNKNOWN, SIGNATURE_INVALID */
  async learn(chain: SigningChain, how: "saved" | "unsaved" = "saved"): Promise<void> {
    const keys = await follow(this.#keys, chain);
    if (keys.length === this.#keys.length) return;
    if (how === "saved") writePinned(this.#deps.dataDir, keys);
    this.#keys = keys;
  }

  /**
   * The payload of a compact JWS by central.
   * @param from what comes from central is by its newest key, or by one that it changed a short while ago
   * @throws PlantgateError SIGNATURE_INVALID; PEER_UNREACHABLE where it is by a key that central has to introduce first
   */
  async verify(jws: string, from: "central" | "disk"): Promise<Uint8Array> {
    const kid = kidIn(jws) ?? this.newest;
    if (from === "central") await this.expect(kid);
    const key = this.#keys.find((each) => each.kid === kid);
    if (!key) throw new PlantgateError("SIGNATURE_INVALID", "the signature is not by a key of central that is pinned here");
    const now = this.#deps.centralNow?.();
    if (from === "central" && key.until !== undefined && now !== undefined && now > key.until)
      throw new PlantgateError("SIGNATURE_INVALID", "the signature is by a key that central does not use any more");
    try {
      return (await compactVerify(jws, createPublicKey(key.publicKey), { algorithms: ["EdDSA"] })).payload;
    } catch (cause) {
      throw new PlantgateError("SIGNATURE_INVALID", "the signature is not by central's pinned key", { cause });
    }
  }
}

/** @returns `known` and what follows of it, each introduced by the one before */
async function follow(known: readonly Pinned[], { keys: chain }: SigningChain): Promise<Pinned[]> {
  const keys = [...known];
  const newest = keys.at(-1);
  const at = chain.findIndex(({ publicKey }) => kidOf(publicKey) === newest?.kid);
  if (at < 0)
    throw new PlantgateError(
      "KEY_UNKNOWN",
      "central's chain of signing keys does not begin at a key that this gateway knows: it may be another central; enroll the gateway anew if it is the right one",
    );
  for (const { publicKey, statement } of chain.slice(at + 1)) {
    const before = keys.at(-1);
    const told = before && (await readStatement(statement, before));
    const kid = kidOf(publicKey);
    if (!before || told?.kid !== kid || told.before !== before.kid || kidOf(told.publicKey) !== kid)
      throw new PlantgateError("SIGNATURE_INVALID", "a signing key of central is not introduced by the one before it");
    keys.splice(-1, 1, { ...before, until: Date.parse(told.overlapUntil) });
    keys.push({ kid, publicKey });
  }
  return keys;
}

async function readStatement(statement: string, by: Pinned) {
  try {
    const { payload } = await compactVerify(statement, createPublicKey(by.publicKey), { algorithms: ["EdDSA"] });
    return signingStatement.safeParse(parseJson(Buffer.from(payload).toString("utf8"))).data;
  } catch {
    return undefined;
  }
}

/** RFC 7638 thumbprint, as central names its keys. @throws PlantgateError SIGNATURE_INVALID for what is no Ed25519 key */
export function kidOf(publicKey: string): string {
  const jwk = (() => {
    try {
      return createPublicKey(publicKey).export({ format: "jwk" });
    } catch {
      return {};
    }
  })();
  if (jwk.crv !== "Ed25519") throw new PlantgateError("SIGNATURE_INVALID", "a signing key of central is no Ed25519 key");
  return createHash("sha256")
    .update(JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x }))
    .digest("base64url");
}

function kidIn(jws: string): string | undefined {
  try {
    return decodeProtectedHeader(jws).kid;
  } catch {
    return undefined;
  }
}

function fileOf(dataDir: string): string {
  return join(dataDir, "identity", "central-keys.json");
}

function readPinned(dataDir: string): Pinned[] | undefined {
  const file = fileOf(dataDir);
  if (!existsSync(file)) return undefined;
  const parsed = pinned.safeParse(parseJson(readFileSync(file, "utf8")));
  if (parsed.success) return parsed.data.keys;
  throw new PlantgateError("CONFIG_INVALID", `${file} cannot be read; restore it, or start with --central-key FILE`);
}

function writePinned(dataDir: string, keys: readonly Pinned[]): void {
  writeFlushed(fileOf(dataDir), Buffer.from(`${JSON.stringify({ keys }, null, 2)}\n`));
}
