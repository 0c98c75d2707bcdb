import { createPublicKey } from "node:crypto";
import { compactVerify } from "jose";
import type { z } from "zod";
import { parseJson, type SealKey } from "../../protocol/index.ts";

/** The payload of a compact JWS by this Ed25519 key (PEM); undefined for anything else. */
export async function readSigned<Schema extends z.ZodType>(
  jws: string,
  publicKey: string,
  schema: Schema,
): Promise<z.infer<Schema> | undefined> {
  try {
    const { payload } = await compactVerify(jws, createPublicKey(publicKey), { algorithms: ["EdDSA"] });
    return schema.safeParse(parseJson(Buffer.from(payload).toString("utf8"))).data;
  } catch {
    return undefined;
  }
}

export function isSameSealKey(a: SealKey, b: SealKey): boolean {
  return a.kty === b.kty && a.crv === b.crv && a.x === b.x;
}
