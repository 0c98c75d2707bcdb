import { hash } from "node:crypto";
import { type CryptoKey, decodeJwt, decodeProtectedHeader, errors, importSPKI, jwtVerify } from "jose";
import { type Clock, type ProblemCode, tokenAudience } from "../../protocol/index.ts";
import { type GatewayKey, isLive } from "../site/keys.ts";
import type { SiteRegistry, SiteRow } from "../site/registry.ts";

export type TokenJudgement =
  | { readonly ok: true; readonly site: SiteRow; readonly key: GatewayKey }
  | {
      readonly ok: false;
      readonly code: ProblemCode;
      readonly detail: string;
      /** Whoever calls was the site's gateway, and another one is it now: on other hardware, or one that a person let in. */
      readonly leftBehind?: { readonly site: string; readonly by: "moved" | "replaced" };
    };
type Refusal = TokenJudgement & { readonly ok: false };

/** A site's last token whose signature held, so that it is not verified with each of a few hundred calls. */
interface Verified {
  /** SHA-256 of the token: comparing it tells nobody how much of a forged one was right. */
  readonly digest: string;
  readonly fingerprint: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** The longest life that a token may claim. */
const maxLifeSeconds = 600;
const clockToleranceSeconds = 5;

/**
 * Judges gateways' tokens: EdDSA only, issuer and subject are the site, the audience is central, at most ten minutes of life, verified
 * against the key of the site that the token names (`kid`), or any of them where it names none. A site may act for itself alone (P9).
 *
 * What is kept between calls is that a signature held, never that a key may sign: that is read with each call, so that whatever another replica
 * did to the key counts at once (rule 15).
 */
export class GatewayTokens {
  readonly #deps: { readonly registry: SiteRegistry; readonly clock: Clock };
  readonly #imported = new Map<string, { readonly fingerprint: string; readonly key: CryptoKey }>();
  readonly #verified = new Map<string, Verified>();

  constructor(deps: { readonly registry: SiteRegistry; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** @param pending also lets in a key that waits for a person: to ask whether it still does */
  async judge(
    authorization: string | undefined,
    pathSite: string,
    { pending = false }: { pending?: boolean } = {},
  ): Promise<TokenJudgement> {
    const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return no("not-signed", "send Authorization: Bearer with the site's token");
    const claimed = readClaims(token);
    if (!claimed) return no("token-invalid", "the token cannot be read");
    // nothing is known of the token yet: its payload may be any JSON
    if (typeof claimed.site !== "string") return no("token-invalid", "the token names no site (sub)");
    const kid = typeof claimed.kid === "string" ? claimed.kid : undefined;
    const found = await this.#deps.registry.findWithKeys(claimed.site, kid);
    if (!found) return no("site-unknown", `there is no site "${claimed.site}"`);
    const { site, keys } = found;
    const signed = await this.#signerOf(token, site.name, keys);
    if ("ok" in signed) return signed;
    const refusal = this.#judgeKey(signed, site, pending);
    if (refusal) return this.#isReplaced(signed, site, refusal);
    if (site.name !== pathSite) return no("not-allowed", `a token of site "${site.name}" is for that site only`);
    return { ok: true, site, key: signed };
  }

  #judgeKey(key: GatewayKey, site: SiteRow, pending: boolean): Refusal | undefined {
    if (key.state === "pending") {
      if (pending) return undefined;
      const confirm = `plantgate site confirm ${site.name} --fingerprint ${key.fingerprint}`;
      return no("not-allowed", `this gateway's key waits for a person who confirms it: ${confirm}`);
    }
    if (site.revoked_at !== null) return no("site-revoked", `the access of site "${site.name}" was revoked`);
    if (key.state === "revoked") return no("site-revoked", `this key of site "${site.name}" was revoked`);
    if (key.state === "moved") {
      const detail = `the gateway of site "${site.name}" moved to other hardware and runs there; this is a copy that was left behind, or its file was taken in a second time`;
      return { ...no("key-unknown", detail), leftBehind: { site: site.name, by: "moved" } };
    }
    if (!isLive(key, this.#deps.clock.now()))
      return no("key-unknown", `this key of site "${site.name}" was replaced by another one`);
    return undefined;
  }

  /**
   * A gateway that is only denied goes on in its plant (P5). One whose site has another gateway by now, which a person let in and which was here, must not: both
   * would deliver (rule 5).
   */
  async #isReplaced(key: GatewayKey, site: SiteRow, refusal: Refusal): Promise<Refusal> {
    if (site.revoked_at !== null || (key.state !== "replaced" && key.state !== "revoked")) return refusal;
    if (!(await this.#deps.registry.isTakenOver(site, key.fingerprint))) return refusal;
    const detail = `another gateway was enrolled as site "${site.name}" and runs with a key of its own: this one is not the site's any more`;
    return { ...no(refusal.code, detail), leftBehind: { site: site.name, by: "replaced" } };
  }

  /** The key that signed it; of the first that might have. */
  async #signerOf(token: string, site: string, keys: readonly GatewayKey[]): Promise<GatewayKey | Refusal> {
    const digest = hash("sha256", token);
    const known = keys.find(({ fingerprint }) => this.#holds(site, digest, fingerprint));
    if (known) return known;
    let refusal = no("key-unknown", `not a key that is registered for site "${site}"`);
    for (const key of keys) {
      const refused = await this.#verify(token, digest, key);
      if (!refused) return key;
      refusal = refused;
      if (refused.code !== "key-unknown") break;
    }
    return refusal;
  }

  #holds(site: string, digest: string, fingerprint: string): boolean {
    const known = this.#verified.get(site);
    const now = this.#deps.clock.now();
    const tolerance = clockToleranceSeconds * 1000;
    if (known?.digest !== digest || known.fingerprint !== fingerprint) return false;
    return now < known.expiresAt + tolerance && known.issuedAt <= now + tolerance;
  }

  async #verify(token: string, digest: string, key: GatewayKey): Promise<Refusal | undefined> {
    const { site, fingerprint } = key;
    try {
      const { payload } = await jwtVerify(token, await this.#import(key), {
        algorithms: ["EdDSA"],
        issuer: site,
        audience: tokenAudience,
        requiredClaims: ["exp", "iat", "sub"],
        clockTolerance: clockToleranceSeconds,
        currentDate: new Date(this.#deps.clock.now()),
      });
      const life = (payload.exp ?? Number.POSITIVE_INFINITY) - (payload.iat ?? 0);
      if (life > maxLifeSeconds) return no("token-invalid", `a token may live ${maxLifeSeconds} s at most`);
      if ((payload.iat ?? 0) * 1000 > this.#deps.clock.now() + clockToleranceSeconds * 1000)
        return no("token-expired", "the token is not valid yet");
      const [issuedAt, expiresAt] = [(payload.iat ?? 0) * 1000, (payload.exp ?? 0) * 1000];
      this.#verified.set(site, { digest, fingerprint, issuedAt, expiresAt });
      return undefined;
    } catch (error) {
      if (error instanceof errors.JWTExpired) return no("token-expired", "the token has expired");
      if (error instanceof errors.JWTClaimValidationFailed && error.claim === "nbf")
        return no("token-expired", "the token is not valid yet");
      if (error instanceof errors.JWSSignatureVerificationFailed)
        return no("key-unknown", `not a key that is registered for site "${site}"`);
      return no("token-invalid", error instanceof errors.JOSEError ? error.message : "the token cannot be verified");
    }
  }

  async #import({ site, fingerprint, public_key }: GatewayKey): Promise<CryptoKey> {
    const known = this.#imported.get(site);
    if (known?.fingerprint === fingerprint) return known.key;
    const key = await importSPKI(public_key, "EdDSA");
    this.#imported.set(site, { fingerprint, key });
    return key;
  }
}

function readClaims(token: string): { readonly site: unknown; readonly kid: unknown } | undefined {
  try {
    return { site: decodeJwt(token).sub, kid: decodeProtectedHeader(token).kid };
  } catch {
    return undefined;
  }
}

function no(code: ProblemCode, detail: string): Refusal {
  return { ok: false, code, detail };
}
