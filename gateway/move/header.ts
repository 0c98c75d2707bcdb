import { createPublicKey, hash, type KeyObject, randomBytes, randomInt } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { CompactEncrypt, CompactSign, compactDecrypt, compactVerify, decodeProtectedHeader, importJWK } from "jose";
import { z } from "zod";
import { PlantgateError, parseJson, sealKey } from "../../protocol/index.ts";
import type { KeyPair, SealingKey } from "../identity/identity.ts";
import type { StreamKey } from "./sealed-stream.ts";

/** What opens a file: the key of a request, or a code that a person reads out and types in. */
export type Recipient =
  | { readonly kind: "key"; readonly request: MoveRequest }
  | { readonly kind: "code"; readonly code: string };
export type Opener =
  | { readonly kind: "key"; readonly key: SealingKey | undefined }
  | { readonly kind: "code"; readonly ask: () => Promise<string> };

/** What the new machine asks for, in a file that a person carries: only it can open what is sealed to it. */
export const moveRequest = z.object({ kind: z.literal("MoveRequest"), version: z.literal(1), publicKey: sealKey });
export type MoveRequest = z.infer<typeof moveRequest>;

/** Stands at the beginning of the file, readable by everybody; what follows opens with this very header only. */
const moveHeader = z.object({
  version: z.int(),
  id: z.string().max(64),
  site: z.string().max(128),
  at: z.string().max(64),
  gatewayVersion: z.string().max(64),
  /** Of the queue: the lowest that a program has to know to open it. */
  queueFormat: z.int().min(0),
  sizeBytes: z.int().min(0),
  /** The gateway's public key. */
  by: z.string().max(2000),
  /** Fingerprint of the request's key; absent: a code opens it. */
  to: z.string().optional(),
  /** The key of what follows: a compact JWE. */
  key: z.string().max(8192),
  /** A compact JWS by the gateway over {@link statement}: nobody else makes a file that passes for its own. */
  proof: z.string().max(8192),
});
export type MoveHeader = z.infer<typeof moveHeader>;

const statement = z.object({ purpose: z.literal("move"), id: z.string(), site: z.string(), key: z.string() });

const magic = Buffer.from("plantgate-move\n");
const version = 1;
export const maxHeaderBytes = 64 * 1024;
/** No 0, 1, I, L, O, U: read out on a telephone. 26 of them are 127 bits. */
const codeLetters = "23456789ABCDEFGHJKMNPQRSTVWXYZ";
const codeLength = 26;
const slowness = 210_000;

export function makeCode(): string {
  return Array.from({ length: codeLength }, () => codeLetters[randomInt(codeLetters.length)]).join("");
}

/** SHA-256 of a request's key, hex: what two people compare. */
export function requestFingerprint({ publicKey }: MoveRequest): string {
  return hash("sha256", Buffer.from(publicKey.x, "base64url"));
}

/** @returns the file's beginning, and what the rest is sealed with */
export async function sealHeader(
  told: Omit<MoveHeader, "version" | "by" | "to" | "key" | "proof">,
  by: KeyPair,
  to: Recipient,
): Promise<{ readonly bytes: Buffer; readonly key: StreamKey }> {
  const secret = randomBytes(32);
  const { id, site } = told;
  const said: z.infer<typeof statement> = { purpose: "move", id, site, key: hash("sha256", secret) };
  const proof = await new CompactSign(Buffer.from(JSON.stringify(said)))
    .setProtectedHeader({ alg: "EdDSA", kid: by.fingerprint })
    .sign(by.privateKey);
  const key = await sealKeyTo(secret, to);
  const addressee = to.kind === "key" ? { to: requestFingerprint(to.request) } : {};
  const header: MoveHeader = { version, ...told, by: by.publicPem, ...addressee, key, proof };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return { bytes: Buffer.concat([magic, length, json]), key: { secret, context: hash("sha256", json, "buffer") } };
}

async function sealKeyTo(secret: Uint8Array, to: Recipient): Promise<string> {
  const sealing = new CompactEncrypt(secret);
  if (to.kind === "key")
    return sealing
      .setProtectedHeader({ alg: "ECDH-ES+A256KW", enc: "A256GCM" })
      .encrypt(await importJWK(to.request.publicKey, "ECDH-ES+A256KW"));
  return sealing
    .setProtectedHeader({ alg: "PBES2-HS512+A256KW", enc: "A256GCM" })
    .setKeyManagementParameters({ p2c: slowness })
    .encrypt(Buffer.from(plainCode(to.code)));
}

/** What a file says of itself; nothing of it is vouched for yet. */
export interface ReadHeader {
  readonly header: MoveHeader;
  readonly context: Buffer;
  /** Where what is sealed begins. */
  readonly endsAt: number;
  /** Of {@link MoveHeader.by}. */
  readonly fingerprint: string;
}

/** @throws PlantgateError CONFIG_INVALID for another file; FORMAT_NEWER */
export async function readHeader(file: FileHandle): Promise<ReadHeader> {
  const start = await readAt(file, 0, magic.length + 4);
  const length =
    start.length === magic.length + 4 && start.subarray(0, magic.length).equals(magic) ? start.readUInt32BE(magic.length) : 0;
  const json = length > 0 && length <= maxHeaderBytes ? await readAt(file, magic.length + 4, length) : Buffer.alloc(0);
  const told: unknown = json.length === length && length > 0 ? parseQuietly(json) : undefined;
  const said = z.object({ version: z.int() }).safeParse(told).data;
  if (said && said.version > version)
    throw new PlantgateError(
      "FORMAT_NEWER",
      `the file has format ${said.version}, this program knows ${version}: install a newer one`,
    );
  const header = moveHeader.safeParse(told).data;
  if (!header)
    throw new PlantgateError("CONFIG_INVALID", "this is no file of plantgate gateway move-out, or its beginning is damaged");
  return {
    header,
    context: hash("sha256", json, "buffer"),
    endsAt: magic.length + 4 + length,
    fingerprint: fingerprintOf(header.by),
  };
}

function parseQuietly(json: Buffer): unknown {
  try {
    return parseJson(json.toString("utf8"));
  } catch {
    return undefined;
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await file.read(bytes, at, length - at, position + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}

/** @throws PlantgateError KEY_UNKNOWN: it is sealed to another machine, or the code is wrong; SIGNATURE_INVALID */
export async function openHeader({ header, context, fingerprint }: ReadHeader, opener: Opener): Promise<StreamKey> {
  const secret = await openKey(header, opener);
  const said = await readProof(header);
  const isOwn = said?.id === header.id && said.site === header.site && said.key === hash("sha256", secret);
  if (!isOwn || decodeProtectedHeader(header.proof).kid !== fingerprint)
    throw new PlantgateError("SIGNATURE_INVALID", "the file was not made by the gateway that it names: do not take it in");
  return { secret, context };
}

async function openKey({ key, to }: MoveHeader, opener: Opener): Promise<Uint8Array> {
  if (opener.kind === "code") {
    const code = Buffer.from(plainCode(await opener.ask()));
    return decrypt(key, code, "PBES2-HS512+A256KW", "this is not the code that move-out showed");
  }
  const another = `the file is sealed to a machine whose request has the fingerprint ${to}, and this folder's is another one, or it has none`;
  if (!opener.key) throw new PlantgateError("KEY_UNKNOWN", another);
  return decrypt(key, opener.key.privateKey, "ECDH-ES+A256KW", another);
}

async function decrypt(jwe: string, key: Uint8Array | KeyObject, algorithm: string, refusal: string): Promise<Uint8Array> {
  try {
    const { plaintext } = await compactDecrypt(jwe, key as KeyObject, {
      keyManagementAlgorithms: [algorithm],
      contentEncryptionAlgorithms: ["A256GCM"],
      maxPBES2Count: slowness,
    });
    if (plaintext.length === 32) return plaintext;
  } catch {
    // said below
  }
  throw new PlantgateError("KEY_UNKNOWN", refusal);
}

async function readProof({ by, proof }: MoveHeader): Promise<z.infer<typeof statement> | undefined> {
  try {
    const { payload } = await compactVerify(proof, createPublicKey(by), { algorithms: ["EdDSA"] });
    return statement.safeParse(parseJson(Buffer.from(payload).toString("utf8"))).data;
  } catch {
    return undefined;
  }
}

function fingerprintOf(publicPem: string): string {
  try {
    return hash("sha256", createPublicKey(publicPem).export({ type: "spki", format: "der" }));
  } catch (cause) {
    throw new PlantgateError("CONFIG_INVALID", "the file names no gateway's key", { cause });
  }
}

/** However it is typed: in groups, in small letters. */
function plainCode(code: string): string {
  return code.toUpperCase().replaceAll(/[^A-Z0-9]/g, "");
}
