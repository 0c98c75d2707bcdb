import { hash, randomBytes } from "node:crypto";
import type { z } from "zod";
import { type Clock, type EnrollmentRequest, type enrollBody, enrollmentProof, requestProof } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import { configurationChanged } from "../router/routes.ts";
import { locking } from "../storage/dialect.ts";
import type { Signing } from "../storage/signing-key.ts";
import type { Storage } from "../storage/storage.ts";
import type { GatewayKey, GatewayKeys } from "./keys.ts";
import { isSameSealKey, readSigned } from "./proof.ts";
import { fingerprintOf, normalKey } from "./public-key.ts";

export interface EnrollmentDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly keys: GatewayKeys;
  readonly signing: Signing;
}

export type EnrollOutcome =
  | { readonly kind: "enrolled"; readonly site: string; readonly key: GatewayKey }
  /** `refused`: the token is unknown, used, or too old, which of them is nobody's business. `conflict`: the key cannot be taken. */
  | { readonly kind: "invalid" | "refused" | "conflict"; readonly detail: string };

/** How far apart the clocks of replicas may be. A token that was made in the future was made by a clock that was wrong. */
const clockToleranceMs = 60_000;
const keptMs = 30 * 86_400_000;
const notTaken = "this token is not valid: it was used, is too old, or was never given out; ask for a new one";

/** How a gateway comes to its site: with a token that is good for one key, or by a request that a person carries. */
export class Enrollment {
  readonly #deps: EnrollmentDeps;

  constructor(deps: EnrollmentDeps) {
    this.#deps = deps;
  }

  /**
   * A token for one gateway of this site; only its hash is kept. It names the key that central signs with, so that whoever it is given to can
   * tell this central from another one that stands in its place.
   */
  async makeToken(site: string, lifeSeconds: number, actor: string): Promise<{ token: string; expiresAt: number }> {
    const { storage, clock, audit, signing } = this.#deps;
    const token = `pge_${randomBytes(24).toString("base64url")}.${signing.kid}`;
    const now = clock.now();
    const expiresAt = now + lifeSeconds * 1000;
    await storage.transaction().execute(async (tx) => {
      await tx
        .deleteFrom("enrollment_tokens")
        .where("expires_at", "<", now - keptMs)
        .execute();
      await tx
        .insertInto("enrollment_tokens")
        .values({
          hash: hash("sha256", token),
          site,
          created_at: now,
          created_by: actor,
          expires_at: expiresAt,
          used_at: null,
          used_by: null,
        })
        .execute();
      await audit.append(tx, { actor, action: "enrollment-token.made", subject: `site/${site}`, detail: { lifeSeconds } });
    });
    return { token, expiresAt };
  }

  /**
   * Uses a token up for the key that is brought; from then on that key waits for a person. The same key may ask again, as an answer gets lost:
   * it learns nothing but what it learned before.
   */
  async enroll({ token, publicKey, sealKey, proof }: z.infer<typeof enrollBody>): Promise<EnrollOutcome> {
    const { storage, clock, keys } = this.#deps;
    const pem = normalKey(publicKey);
    if (pem === undefined) return { kind: "invalid", detail: "publicKey: an Ed25519 public key in PEM (SPKI)" };
    const tokenHash = hash("sha256", token);
    const known = await storage.selectFrom("enrollment_tokens").select("site").where("hash", "=", tokenHash).executeTakeFirst();
    if (!known) return { kind: "refused", detail: notTaken };
    const proven = await readSigned(proof, pem, enrollmentProof);
    if (!proven || proven.token !== tokenHash || proven.publicKey !== publicKey || !isSameSealKey(proven.sealKey, sealKey))
      return { kind: "invalid", detail: "proof: a compact JWS by this key over this token's hash and both keys" };
    const fingerprint = fingerprintOf(pem);
    const enrolled = storage.transaction().execute(async (tx): Promise<EnrollOutcome> => {
      // sites before what hangs on them, as everywhere
      await locking(tx, tx.selectFrom("sites").select("name").where("name", "=", known.site)).execute();
      const row = await locking(
        tx,
        tx.selectFrom("enrollment_tokens").selectAll().where("hash", "=", tokenHash),
      ).executeTakeFirst();
      const now = clock.now();
      if (!row) return { kind: "refused", detail: notTaken };
      if (row.used_at !== null) {
        const again = row.used_by === fingerprint ? await keys.find(row.site, fingerprint, tx) : undefined;
        return again ? { kind: "enrolled", site: row.site, key: again } : { kind: "refused", detail: notTaken };
      }
      if (now > row.expires_at || now < row.created_at - clockToleranceMs) return { kind: "refused", detail: notTaken };
      await tx
        .updateTable("enrollment_tokens")
        .set({ used_at: now, used_by: fingerprint })
        .where("hash", "=", tokenHash)
        .execute();
      const offered = await keys.offer(tx, row.site, { publicKey: pem, sealKey });
      if (offered.kind === "pinned") return { kind: "enrolled", site: row.site, key: offered.key };
      // the token stays good for a gateway that makes a new key
      throw new Refused(offered.detail);
    });
    return enrolled.catch(conflict);
  }

  /** Takes the key of a request that a person brought from the plant: who it is from is known, so that nobody has to confirm it. */
  async pinRequest(site: string, request: EnrollmentRequest, actor: string): Promise<EnrollOutcome> {
    const { storage, keys } = this.#deps;
    const { publicKey, sealKey, nonce, proof } = request;
    const pem = normalKey(publicKey);
    const proven = pem === undefined ? undefined : await readSigned(proof, pem, requestProof);
    if (pem === undefined || proven?.nonce !== nonce || proven.publicKey !== publicKey || !isSameSealKey(proven.sealKey, sealKey))
      return { kind: "invalid", detail: "the request was changed on its way, or is none: its proof does not fit its keys" };
    const pinned = storage.transaction().execute(async (tx): Promise<EnrollOutcome> => {
      await configurationChanged(tx);
      const outcome = await keys.pin(tx, site, { publicKey: pem, sealKey }, "imported", actor);
      if (outcome.kind === "pinned") return { kind: "enrolled", site, key: outcome.key };
      throw new Refused(outcome.detail);
    });
    return pinned.catch(conflict);
  }
}

/** Ends a transaction without a trace of it. */
class Refused extends Error {}

function conflict(error: unknown): EnrollOutcome {
  if (error instanceof Refused) return { kind: "conflict", detail: error.message };
  throw error;
}
