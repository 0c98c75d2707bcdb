import { createHash, createPublicKey } from "node:crypto";

/** The key as SPKI PEM in one spelling; undefined for anything but an Ed25519 public key. */
export function normalKey(pem: string): string | undefined {
  try {
    if (pem.includes("PRIVATE")) return undefined;
    const key = createPublicKey(pem);
    return key.asymmetricKeyType === "ed25519" ? key.export({ type: "spki", format: "pem" }).toString() : undefined;
  } catch {
    return undefined;
  }
}

/** SHA-256 of a public key's DER (SPKI), hex: what two people compare, and what a gateway's tokens name (`kid`). */
export function fingerprintOf(pem: string): string {
  const der = createPublicKey(pem).export({ type: "spki", format: "der" });
  return createHash("sha256").update(der).digest("hex");
}
