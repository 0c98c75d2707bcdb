import { z } from "zod";
import { identifier, instant } from "./types/common.ts";

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

const publicPem = z.string().min(1).max(2000);
const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
/** Compact JWS. */
const signed = z.string().min(1).max(8192);

/** What a gateway signs with a key that it brings, to show that it has the private half; so nobody changes what secrets are sealed to. */
export const enrollmentProof = z.object({
  purpose: z.literal("enroll"),
  /** SHA-256 of the token, hex. */
  token: hex64,
  publicKey: publicPem,
  sealKey,
});
/** As {@link enrollmentProof}, in a file that a person carries. */
export const requestProof = z.object({
  purpose: z.literal("request"),
  nonce: z.string().min(16).max(64),
  publicKey: publicPem,
  sealKey,
});
/** Signed with the new key, inside of what the old one signs ({@link introduction}). */
export const rotationProof = z.object({
  purpose: z.literal("rotate"),
  site: identifier,
  /** Fingerprint of the key that introduces it. */
  by: hex64,
  publicKey: publicPem,
  sealKey,
});
/** Signed with the old key; `proof` with the new one. */
export const introduction = rotationProof.extend({
  proof: signed,
  overlapSeconds: z
    .int()
    .min(0)
    .max(7 * 86_400),
  /** The data folder moved to other hardware: whoever still has the old key is a copy that was left behind. There is no overlap then. */
  moved: z.literal(true).optional(),
});

/** `POST /v1/enroll`; `proof`: {@link enrollmentProof} as a compact JWS by the key that it brings. */
export const enrollBody = z.object({ token: z.string().max(512), publicKey: publicPem, sealKey, proof: signed });
export const enrollAnswer = z.object({
  site: z.string(),
  fingerprint: z.string(),
  state: z.enum(["pending", "active"]),
  signingKeys: z.array(signingKeyEntry).min(1),
});

/** A gateway's request in a file, where there is no link; `proof`: {@link requestProof}. */
export const enrollmentRequest = z.object({
  kind: z.literal("EnrollmentRequest"),
  publicKey: publicPem,
  sealKey,
  nonce: z.string().min(16).max(64),
  proof: signed,
});
export type EnrollmentRequest = z.infer<typeof enrollmentRequest>;

/** `GET /v1/sites/{site}/enrollment`: all that a gateway may ask whose key waits for a person. */
export const enrollmentState = z.object({
  site: z.string(),
  fingerprint: z.string(),
  state: z.enum(["pending", "active", "retiring"]),
});

/** `POST /v1/sites/{site}/keys`: a gateway changes to a new key; `introduction` as a compact JWS by the key that it leaves. */
export const introduceBody = z.object({ introduction: signed });
export const introduceAnswer = z.object({ fingerprint: z.string(), state: z.literal("active"), retiresAt: instant });

/** What the answer to a status report says of keys. */
export const keyNotice = z.object({
  /** Of the key that signed the report. */
  fingerprint: z.string(),
  /** Since when central takes it, by central's clock. */
  since: instant,
  /** A person asks for a new one. */
  rotate: z.boolean(),
  /** Central knows what to seal secrets to. */
  seals: z.boolean(),
  /** What central signs with now. */
  signingKey: z.string(),
});
export type KeyNotice = z.infer<typeof keyNotice>;

/**
 * The payload of a compact JWS by central in a file: what a plant without a link gets. The `number` rises with each file that is made for a site.
 * `nonce`: of the request that it answers.
 */
export const siteFile = z.object({
  kind: z.literal("SiteFile"),
  site: identifier,
  number: z.int().min(1),
  at: instant,
  fingerprint: hex64.nullable(),
  nonce: z.string().optional(),
  signingKeys: z.array(signingKeyEntry).min(1),
  /** Central's address, as whoever made the file reached it. */
  central: z.string(),
  bundle: z.object({ revision: z.int().min(1), digest: hex64, jws: z.string() }).nullable(),
  secrets: z.string().nullable(),
});
export type SiteFile = z.infer<typeof siteFile>;
