import { z } from "zod";

/** What secrets are sealed to: a gateway's X25519 key, public half (RFC 8037). */
export const sealKey = z.object({ kty: z.literal("OKP"), crv: z.literal("X25519"), x: z.string().regex(/^[\w-]{43}$/) });
export type SealKey = z.infer<typeof sealKey>;
