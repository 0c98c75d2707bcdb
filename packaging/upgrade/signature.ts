import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { PlantgateError } from "../../protocol/index.ts";

/** Public keys of a PEM text, those of other kinds left out. */
export function keysOf(pem: string): KeyObject[] {
  const blocks = pem.match(/-----BEGIN PUBLIC KEY-----[\s\S]*?-----END PUBLIC KEY-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      const key = createPublicKey(block);
      return key.asymmetricKeyType === "ed25519" ? [key] : [];
    } catch {
      return [];
    }
  });
}

/**
 * Judges a package by its signature: base64 of the raw Ed25519 signature over its bytes.
 * @throws PlantgateError SIGNATURE_INVALID
 */
export function requireSigned(bytes: Uint8Array, signature: string, keys: readonly KeyObject[]): void {
  const raw = Buffer.from(signature.trim(), "base64");
  if (raw.length !== 64) throw new PlantgateError("SIGNATURE_INVALID", "its .sig file holds no Ed25519 signature in base64");
  if (keys.length === 0)
    throw new PlantgateError(
      "SIGNATURE_INVALID",
      "no release key is known here: put the publisher's public key (PEM) into /etc/plantgate/release-keys.d",
    );
  if (!keys.some((key) => verify(null, bytes, key, raw)))
    throw new PlantgateError(
      "SIGNATURE_INVALID",
      "it is signed by none of the keys that the version here trusts: take the file from its publisher again, or put the publisher's public key (PEM) into /etc/plantgate/release-keys.d",
    );
}
