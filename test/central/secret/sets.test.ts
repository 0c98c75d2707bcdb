import { exportJWK, generateKeyPair } from "jose";
import { describe, expect, it } from "vitest";
import { Audit } from "../../../central/audit/audit.ts";
import { Downlink } from "../../../central/router/downlink.ts";
import { Keyring } from "../../../central/secret/keyring.ts";
import { SecretSets } from "../../../central/secret/sets.ts";
import { Vault } from "../../../central/secret/vault.ts";
import { openLogger } from "../../../central/telemetry/logger.ts";
import type { SealKey } from "../../../protocol/index.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, openLedger, openRevisions } from "../../support/ledger.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

/** A revision's bundle, as far as its secrets go. */
function bundleWith(secret: string): string {
  const config = { type: "http", url: "http://127.0.0.1:1", auth: { type: "bearer", token: { secret } } };
  return JSON.stringify({ connectors: { wms: { config } }, flows: {} });
}

describe.each(await storages())("a site's secrets on their way, on %s", (kind) => {
  it("are also those of the revision that its gateway may go back to while it reports a newer one", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, clock } = ledger;
    await beginSession(ledger, "lyon", [new TestLane("lyon", "transaction")]);
    const vault = new Vault({ storage, keyring: Keyring.open(own.folder), audit: new Audit(clock), clock });
    for (const name of ["old", "new", "other"]) await vault.set({ name, site: "", value: name, overlapMs: 0 }, "ana");
    const { publicKey } = await generateKeyPair("ECDH-ES+A256KW", { crv: "X25519", extractable: true });
    const sealKey = (await exportJWK(publicKey)) as SealKey;
    const sets = new SecretSets({
      ...{ storage, vault, clock, log: openLogger({ level: "silent" }) },
      sign: async (payload) => JSON.stringify(payload),
      sealKeyOf: async () => ({ fingerprint: "f", sealKey }),
    });
    const shared = { site: "lyon", jws: "", files: "[]", labels: "{}", created_at: 0 };
    for (const [revision, secret] of ["old", "other", "new"].entries())
      await storage
        .insertInto("revisions")
        .values({ ...shared, revision: revision + 1, content: secret, digest: secret, bundle: bundleWith(secret) })
        .execute();
    const namesAt = async (desired: number, reported: number): Promise<string[]> => {
      const fetched = await sets.fetch({ name: "lyon", desired_revision: desired, reported_revision: reported });
      return Object.keys((JSON.parse(fetched?.jws ?? "{}") as { secrets: object }).secrets).sort();
    };
    // pushed: the one before
    expect(await namesAt(2, 2)).toEqual(["old", "other"]);
    // rolled out: the one that it had then, whatever its number
    const change = { number: 1, title: "third", description: "", environment: "prod", state: "rolling-out", author: "ada" };
    await storage
      .insertInto("changes")
      .values({
        ...{ ...change, strategy: "{}", expedited: 0, promoted_from: null, digest: "", version: 1 },
        ...{ created_at: 0, updated_at: 0, reason: null, review_due_since: null },
      })
      .execute();
    await storage
      .insertInto("rollouts")
      .values({
        ...{ number: 1, change: 1, environment: "prod", state: "running", plan: "", wave: 0, held_ms: 0, reason: null },
        ...{ ending: null, created_at: 0, updated_at: 0, ended_at: null, driver: "", driver_until: 0 },
      })
      .execute();
    await storage
      .insertInto("rollout_sites")
      .values({
        ...{ rollout: 1, site: "lyon", wave: 0, from_revision: 1, to_revision: 3, state: "watching", reason: null },
        ...{ baseline: null, in_state_ms: 0, away_ms: 0, unwell_ms: 0, updated_at: 0 },
      })
      .execute();
    expect(await namesAt(3, 3)).toEqual(["new", "old", "other"]);
  });

  it("are told with the very revision that names them, also where that came while the poll was judged", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const revisions = await openRevisions(ledger);
    const session = await beginSession(ledger, "lyon", [new TestLane("lyon", "transaction")]);
    const registry = Object.create(ledger.registry, {
      findWithKeys: {
        value: async (name: string, key: string | undefined) => {
          const found = await ledger.registry.findWithKeys(name, key);
          await revisions.push("lyon", siteDocuments({ site: "lyon", send: ["pick.confirmed"] }));
          return found;
        },
      },
    }) as typeof ledger.registry;
    const secretSets = { digest: async (row: { desired_revision: number }) => `of ${row.desired_revision}` };
    const downlink = new Downlink({ ...ledger, registry, revisions, secretSets });
    const request = { session, ack: { sequence: 0 }, knownRevision: 0, waitMs: 0 };
    const outcome = await downlink.poll("lyon", request, new AbortController().signal);
    expect(outcome).toMatchObject({ answer: { desired: { revision: 1, secrets: "of 1" } } });
  });
});
