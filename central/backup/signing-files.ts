import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint } from "jose";
import { PlantgateError } from "../../protocol/index.ts";
import type { Part } from "./archive.ts";

interface StoredKey {
  readonly text: string;
  readonly kid: string;
  /** All that it was introduced by, itself last. */
  readonly chain: readonly string[];
}

/**
 * Central's signing key as a folder has it, with the one to change to. Read after the ledger was copied: a folder may know more than its ledger, never
 * less (ADR 0096). The next one is read first, as it becomes the current one.
 * @throws PlantgateError CONFIG_INVALID where the folder has not got the key that the ledger names
 */
export async function readSigningParts(dataDir: string, named: string | null): Promise<Part[]> {
  const next = await readStoredKey(join(dataDir, "signing-key.next.json"));
  const current = await readStoredKey(join(dataDir, "signing-key.json"));
  const known = current && [...current.chain, current.kid, ...(next ? [next.kid] : [])];
  if (!current || (named !== null && !known?.includes(named)))
    throw new PlantgateError(
      "CONFIG_INVALID",
      `${join(dataDir, "signing-key.json")} ${current ? "is not" : "is missing: it is"} the key that this ledger is signed with; without it a restored central cannot speak to its gateways`,
    );
  const parts: Part[] = [{ name: "signing-key.json", text: current.text }];
  if (next && next.kid !== current.kid) parts.push({ name: "signing-key.next.json", text: next.text });
  return parts;
}

/** Of two folders of one central, whether the first one's key came after the second one's. */
export async function isNewerKey(file: string, than: string): Promise<boolean> {
  const [one, other] = [await readStoredKey(file), await readStoredKey(than)];
  return one !== undefined && other !== undefined && one.kid !== other.kid && one.chain.includes(other.kid);
}

/** @returns undefined where there is none */
async function readStoredKey(file: string): Promise<StoredKey | undefined> {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8");
  try {
    const { kty, crv, x, chain = [] } = JSON.parse(text) as { kty: string; crv: string; x: string; chain?: { kid: string }[] };
    return { text, kid: await calculateJwkThumbprint({ kty, crv, x }), chain: chain.map(({ kid }) => kid) };
  } catch {
    throw new PlantgateError("CONFIG_INVALID", `${file} holds no signing key`);
  }
}
