import { hash } from "node:crypto";
import { type CryptoKey, decodeJwt, errors, importSPKI, jwtVerify } from "jose";
import { type Clock, type ProblemCode, tokenAudience } from "../../protocol/index.ts";
import type { SiteRegistry, SiteRow } from "../site/registry.ts";

export type TokenJudgement =
  | { readonly ok: true; readonly site: SiteRow }
  | { readonly ok: false; readonly code: ProblemCode; readonly detail: string };

/** A site's last token whose signature held, so that it is not verified with each of a few hundred calls. */
interface Verified {
  /** SHA-256 of the token: comparing it tells nobody how much of a forged one was right. */
  readonly digest: string;
  readonly pem: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** The longest life that a token may claim. */
const maxLifeSeconds = 600;
const clockToleranceSeconds = 5;

/**
 * Judges gateways' tokens: EdDSA only, issuer and subject are the site, the audience is central, at most ten minutes of life, verified
 * against the key pinned for the site. A site may act for itself alone (P9).
 */
export class GatewayTokens {
  readonly #deps: { readonly registry: SiteRegistry; readonly clock: Clock };
  readonly #keys = new Map<string, { readonly pem: string; readonly key: CryptoKey }>();
  readonly #verified = new Map<string, Verified>();

  constructor(deps: { readonly registry: SiteRegistry; readonly clock: Clock }) {
    this.#deps = deps;
  }

  async judge(authorization: string | undefined, pathSite: string): Promise<TokenJudgement> {
    const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return no("not-signed", "send Authorization: Bearer with the site's token");
    let claimed: unknown;
    try {
      claimed = decodeJwt(token).sub;
    } catch {
      return no("token-invalid", "the token cannot be read");
    }
    // nothing is known of the token yet: its payload may be any JSON
    if (typeof claimed !== "string") return no("token-invalid", "the token names no site (sub)");
    const site = await this.#deps.registry.find(claimed);
    if (!site) return no("site-unknown", `there is no site "${claimed}"`);
    const digest = hash("sha256", token);
    if (!this.#holds(site, digest)) {
      const refusal = await this.#verify(token, digest, site);
      if (refusal) return refusal;
    }
    if (site.revoked_at !== null) return no("site-revoked", `the access of site "${site.name}" was revoked`);
    if (site.name !== pathSite) return no("not-allowed", `a token of site "${site.name}" is for that site only`);
    return { ok: true, site };
  }

  #holds(site: SiteRow, digest: string): boolean {
    const known = this.#verified.get(site.name);
    const now = this.#deps.clock.now();
    const tolerance = clockToleranceSeconds * 1000;
    if (known?.digest !== digest || known.pem !== site.public_key) return false;
    return now < known.expiresAt + tolerance && known.issuedAt <= now + tolerance;
  }

  async #verify(token: string, digest: string, site: SiteRow): Promise<TokenJudgement | undefined> {
    try {
      const { payload } = await jwtVerify(token, await this.#key(site), {
        algorithms: ["EdDSA"],
        issuer: site.name,
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
      this.#verified.set(site.name, { digest, pem: site.public_key, issuedAt, expiresAt });
      return undefined;
    } catch (error) {
      if (error instanceof errors.JWTExpired) return no("token-expired", "the token has expired");
      if (error instanceof errors.JWTClaimValidationFailed && error.claim === "nbf")
        return no("token-expired", "the token is not valid yet");
      if (error instanceof errors.JWSSignatureVerificationFailed)
        return no("key-unknown", `not the key that is pinned for site "${site.name}"`);
      return no("token-invalid", error instanceof errors.JOSEError ? error.message : "the token cannot be verified");
    }
  }

  async #key(site: SiteRow): Promise<CryptoKey> {
    const known = this.#keys.get(site.name);
    if (known?.pem === site.public_key) return known.key;
    const key = await importSPKI(site.public_key, "EdDSA");
    this.#keys.set(site.name, { pem: site.public_key, key });
    return key;
  }
}

function no(code: ProblemCode, detail: string): TokenJudgement & { ok: false } {
  return { ok: false, code, detail };
}
