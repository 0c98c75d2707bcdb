import { hash, type KeyObject, randomBytes } from "node:crypto";
import { CompactSign } from "jose";
import type { z } from "zod";
import type {
  EnrollmentRequest,
  enrollBody,
  enrollmentProof,
  introduction,
  requestProof,
  rotationProof,
} from "../../protocol/index.ts";
import type { KeyPair } from "./identity.ts";

/** What `POST /v1/enroll` takes: a token, and proof that whoever sends it has the private half of the keys that it brings. */
export async function proveEnrollment(pair: KeyPair, token: string): Promise<z.infer<typeof enrollBody>> {
  const { publicPem: publicKey, sealing } = pair;
  const keys = { publicKey, sealKey: sealing.publicJwk };
  const proof: z.infer<typeof enrollmentProof> = { purpose: "enroll", token: hash("sha256", token), ...keys };
  return { token, ...keys, proof: await sign(pair, proof) };
}

/** As {@link proveEnrollment}, for a file that a person carries. */
export async function makeRequest(pair: KeyPair): Promise<EnrollmentRequest> {
  const { publicPem: publicKey, sealing } = pair;
  const keys = { publicKey, sealKey: sealing.publicJwk };
  const nonce = randomBytes(24).toString("base64url");
  const proof: z.infer<typeof requestProof> = { purpose: "request", nonce, ...keys };
  return { kind: "EnrollmentRequest", ...keys, nonce, proof: await sign(pair, proof) };
}

/** One pair introduces the next one, or itself with what secrets are sealed to: signed by both. */
export async function introduceKeys(
  site: string,
  by: KeyPair,
  next: KeyPair,
  terms: Pick<z.infer<typeof introduction>, "overlapSeconds" | "moved">,
): Promise<string> {
  const said: z.infer<typeof rotationProof> = {
    ...{ purpose: "rotate", site, by: by.fingerprint },
    ...{ publicKey: next.publicPem, sealKey: next.sealing.publicJwk },
  };
  const told: z.infer<typeof introduction> = { ...said, proof: await sign(next, said), ...terms };
  return sign(by, told);
}

function sign(by: { readonly privateKey: KeyObject; readonly fingerprint: string }, payload: object): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "EdDSA", kid: by.fingerprint })
    .sign(by.privateKey);
}
