import { type Clock, type SigningKeyEntry, type SiteFile, toInstant } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import { type Signing, sign } from "../storage/signing-key.ts";
import type { Storage } from "../storage/storage.ts";
import type { GatewayKeys } from "./keys.ts";

export interface SiteFilesDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly keys: GatewayKeys;
  readonly signing: Signing & { readonly chain: readonly SigningKeyEntry[] };
  /** The desired revision; undefined: none. */
  readonly bundle: (site: string) => Promise<SiteFile["bundle"]>;
  /** The site's secrets, sealed to its key and signed; null: none. */
  readonly secrets: (site: string) => Promise<string | null>;
}

/** What a plant without a link gets in a file: keys, configuration and sealed secrets, all signed. */
export class SiteFiles {
  readonly #deps: SiteFilesDeps;

  constructor(deps: SiteFilesDeps) {
    this.#deps = deps;
  }

  /** @param nonce of the request that it answers */
  async make(
    site: string,
    { central, actor, nonce }: { central: string; actor: string; nonce?: string },
  ): Promise<{ fingerprint: string | null; file: string }> {
    const { storage, clock, audit, keys, signing, bundle, secrets } = this.#deps;
    const contents = { bundle: await bundle(site), secrets: await secrets(site) };
    const fingerprint = (await keys.list(site)).find(({ state }) => state === "active")?.fingerprint ?? null;
    const at = clock.now();
    const number = await storage.transaction().execute(async (tx) => {
      // rises also over a ledger that was restored, and over a clock that was set back
      const { value } = await tx
        .updateTable("counters")
        .set((eb) => ({
          value: eb
            .case()
            .when("value", "<", at)
            .then(at)
            .else(eb("value", "+", 1))
            .end(),
        }))
        .where("name", "=", "site-file")
        .returning("value")
        .executeTakeFirstOrThrow();
      await audit.append(tx, {
        actor,
        action: "site.exported",
        subject: `site/${site}`,
        detail: { number: value, revision: contents.bundle?.revision ?? 0 },
      });
      return value;
    });
    const payload: SiteFile = {
      kind: "SiteFile",
      ...{ site, number, at: toInstant(at), fingerprint },
      ...(nonce === undefined ? {} : { nonce }),
      signingKeys: [...signing.chain],
      central,
      ...contents,
    };
    return { fingerprint, file: await sign(signing, payload) };
  }
}
