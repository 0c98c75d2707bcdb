import { z } from "zod";
import { instant } from "./types/common.ts";

/** What secrets are sealed to: a gateway's X25519 key, public half (RFC 8037). */
export const sealKey = z.object({ kty: z.literal("OKP"), crv: z.literal("X25519"), x: z.string().regex(/^[\w-]{43}$/) });
export type SealKey = z.infer<typeof sealKey>;

/** One of central's signing keys; `statement` is by the key before it, empty for the first one ({@link signingStatement}). */
export const signingKeyEntry = z.object({
  kid: z.string().max(128),
  publicKey: z.string().max(2000),
  statement: z.string().max(8192),
});
export type SigningKeyEntry = z.infer<typeof signingKeyEntry>;

/** `GET /v1/signing-keys`: all that central ever signed with, the newest last. */
export const signingChain = z.object({ keys: z.array(signingKeyEntry).min(1) });
export type SigningChain = z.infer<typeof signingChain>;

/** The payload of a compact JWS by which one of central's keys introduces the next one. */
export const signingStatement = z.object({
  kind: z.literal("SigningKey"),
  kid: z.string(),
  publicKey: z.string(),
  /** The key that signs this. */
  before: z.string(),
  at: instant,
  /** What the key before signed is taken until then, by central's clock. */
  overlapUntil: instant,
});
export type SigningStatement = z.infer<typeof signingStatement>;
