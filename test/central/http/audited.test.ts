import { describe, expect, it } from "vitest";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { type Person, signInAs } from "../../support/people.ts";
import { addPackage, makePackage } from "../../support/releases.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

interface Entry {
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
}

/** What somebody does, one after the other, and what the audit log has to say of it. */
const deeds: [action: string, subject: string, doIt: (ana: Person, central: TestCentral) => Promise<unknown>][] = [
  ["site.created", "site/lyon", (ana) => must(ana.call("POST", "/v1/sites", { name: "lyon" }))],
  [
    "site.pushed",
    "site/lyon",
    (ana) => must(ana.call("POST", "/v1/sites/lyon/revisions", { files: siteDocuments({ site: "lyon" }) })),
  ],
  ["site.exported", "site/porto", (ana) => must(ana.call("GET", "/v1/sites/porto/file"))],
  ["enrollment-token.made", "site/lyon", (ana) => must(ana.call("POST", "/v1/sites/lyon/enrollment-tokens", {}))],
  ["key.rotationAsked", "site/porto", (ana) => must(ana.call("POST", "/v1/sites/porto/rotate-key"))],
  [
    "key.revoked",
    "site/porto",
    async (ana) => {
      const { keys } = await must(ana.call<{ keys: { fingerprint: string }[] }>("GET", "/v1/sites/porto/keys"));
      return must(ana.call("POST", `/v1/sites/porto/keys/${keys[0]?.fingerprint}/revoke`));
    },
  ],
  ["site.revoked", "site/porto", (ana) => must(ana.call("POST", "/v1/sites/porto/revoke"))],
  ["secret.set", "Secret/wms", (ana) => must(ana.call("PUT", "/v1/secrets/wms", { value: "one" }))],
  ["secret.rotated", "Secret/wms", (ana) => must(ana.call("PUT", "/v1/secrets/wms", { value: "two", overlap: "1h" }))],
  ["secret.removed", "Secret/wms", (ana) => must(ana.call("DELETE", "/v1/secrets/wms"))],
  ["user.added", "user/ben", (ana) => must(ana.call("POST", "/v1/users", { name: "ben", roles: ["viewer"] }))],
  ["user.disabled", "user/ben", (ana) => must(ana.call("PATCH", "/v1/users/ben", { disabled: true }))],
  ["link.made", "user/cleo", (ana) => must(ana.call("POST", "/v1/users/cleo/links", { setsPassword: false }))],
  [
    "token.revoked",
    "token/",
    async (ana) => {
      const token = { purpose: "a test", roles: ["viewer"], lifeSeconds: 3600 };
      const { id } = await must(ana.call<{ id: string }>("POST", "/v1/tokens", token));
      return must(ana.call("DELETE", `/v1/tokens/${id}`));
    },
  ],
  ["signing-key.rotated", "central", (ana) => must(ana.call("POST", "/v1/signing-keys/rotate", {}))],
  ["release.removed", "release/0.2.0", (ana) => must(ana.call("DELETE", "/v1/releases/0.2.0"))],
  ["session.ended", "user/ana", (ana) => must(ana.call("DELETE", "/v1/session"))],
];

async function must<Answer>(call: Promise<{ status: number; body: Answer }>): Promise<Answer> {
  const { status, body } = await call;
  if (status >= 300) throw new Error(`answered with ${status}: ${JSON.stringify(body)}`);
  return body;
}

describe.each(await storages())("P12: the audit log on %s", (storage) => {
  it("names who did it for everything that somebody changes", async () => {
    await using central = await startTestCentral({ storage });
    await central.addSite("porto");
    await must(central.admin("POST", "/v1/users", { name: "cleo", roles: ["viewer"] }));
    await addPackage(central, makePackage("plantgate-gateway_0.2.0_amd64.deb"));
    const ana = await signInAs(central, "ana", { roles: ["admin", "engineer"] });
    const said: (Entry | string)[] = [];
    for (const [action, , doIt] of deeds) {
      await doIt(ana, central);
      const { entries } = (await central.admin<{ entries: Entry[] }>("GET", `/v1/audit?before=0&limit=1&action=${action}`)).body;
      const [entry] = entries;
      said.push(entry ? { actor: entry.actor, action: entry.action, subject: entry.subject } : `nothing of ${action}`);
    }
    expect(said).toEqual(
      deeds.map(([action, subject]) => ({
        actor: "ana",
        action,
        subject: subject.endsWith("/") ? expect.stringMatching(`^${subject}`) : subject,
      })),
    );
  });
});
