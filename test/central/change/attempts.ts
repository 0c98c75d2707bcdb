import type { ChangeView } from "../../../central/http/api/changes.ts";
import type { Person } from "../../support/people.ts";
import { policyFile, siteFile } from "../../support/policy-documents.ts";
import { type Answer, draft, type Plant, quick } from "./plant.ts";

let versions = 0;
/** A new text each time, so that it is nothing that was read before. */
export const fresh = (): string => `attempt ${++versions}`;
/** A change of prod that a person wrote and handed in: only what it carries of the site moves, so that test has no say. */
export async function inReview(plant: Plant, who: Person, more: object = {}): Promise<number> {
  const number = await plant.write(who, { files: [plant.site("lyon", "prod", { line: fresh().replace(" ", "-") })], ...more });
  await plant.must(plant.step(who, number, "submit"));
  return number;
}

/** What is tried, and what of the refusal says why. */
export const attempts: Record<string, { readonly says: RegExp; readonly tries: (plant: Plant) => Promise<Answer> }> = {
  "the author approves": {
    says: /you are its author/,
    tries: async (plant) => plant.approve(plant.ada, await inReview(plant, plant.ada)),
  },
  "the author approves with a token": {
    says: /you are its author/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada);
      const { digest } = await plant.read(number);
      return plant.bearer(await plant.token(plant.ada, ["approver"]), "POST", `/v1/changes/${number}/approve`, { digest });
    },
  },
  "the author wrote with a token, and approves signed in": {
    says: /you are its author/,
    tries: async (plant) => {
      const secret = await plant.token(plant.ada, ["engineer"]);
      const files = [plant.site("lyon", "prod", { line: "token" })];
      const made = await plant.bearer(secret, "POST", "/v1/changes", { ...draft, files });
      const number = made.body.number as number;
      await plant.bearer(secret, "POST", `/v1/changes/${number}/submit`, {});
      return plant.approve(plant.ada, number);
    },
  },
  "the author approves on the command line": {
    says: /you are its author/,
    tries: async (plant) =>
      plant.command(await plant.token(plant.ada, ["approver"]), "approve", String(await inReview(plant, plant.ada))),
  },
  "the author writes, hands in and starts on the command line": {
    says: /only what is approved is started/,
    tries: async (plant) => {
      const secret = await plant.token(plant.ada, ["engineer", "operator"]);
      const path = plant.file(plant.site("lyon", "prod", { line: "cli" }));
      const applied = await plant.command(
        secret,
        ...["apply", "-f", path, "--environment", "prod"],
        ...["--title", "cli", "--submit", "-o", "json"],
      );
      const { number } = JSON.parse(String(applied.body.out)) as { number: number };
      return plant.command(secret, "change", "start", String(number));
    },
  },
  "an editor of somebody else's draft approves": {
    says: /you have edited it/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, { files: [plant.site("lyon", "prod", { line: "edited" })] });
      await plant.must(plant.ben.call("PUT", `/v1/changes/${number}`, { version: 1, title: "ben was here" }));
      await plant.must(plant.step(plant.ada, number, "submit"));
      return plant.approve(plant.ben, number);
    },
  },
  "the author lets somebody else edit it, and approves": {
    says: /you are its author/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, { files: [plant.site("lyon", "prod", { line: "author" })] });
      await plant.must(plant.ben.call("PUT", `/v1/changes/${number}`, { version: 1, title: "ben's now" }));
      await plant.must(plant.step(plant.ben, number, "submit"));
      return plant.approve(plant.ada, number);
    },
  },
  "who wrote a document approves what another one merely carried on": {
    says: /you wrote a document that it carries/,
    tries: async (plant) => {
      const mine = await plant.write(plant.ada, { environment: "dev", files: [plant.template(fresh())] });
      await plant.carryOut(plant.ada, plant.ada, mine);
      const on = await plant.ben.call<ChangeView>("POST", `/v1/changes/${mine}/promote`, { environment: "test" });
      await plant.must(plant.step(plant.ben, on.body.number, "submit"));
      return plant.approve(plant.ada, on.body.number);
    },
  },
  "central's admin token approves": {
    says: /admin token is nobody|role approver/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada);
      const { digest } = await plant.read(number);
      return plant.central.admin("POST", `/v1/changes/${number}/approve`, { digest });
    },
  },
  "central's admin token writes, so that one person is enough": {
    says: /admin token is nobody/,
    tries: (plant) => plant.central.admin("POST", "/v1/changes", { ...draft, files: [plant.site("lyon", "prod")] }),
  },
  "central's admin token writes on the command line": {
    says: /admin token is nobody/,
    tries: (plant) => {
      const path = plant.file(plant.site("lyon", "prod", { line: "key" }));
      return plant.command(plant.central.adminToken, "apply", "-f", path, "--environment", "prod", "--title", "key");
    },
  },
  "central's admin token edits a person's draft": {
    says: /admin token is nobody/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, { files: [plant.site("lyon", "prod", { line: "mine" })] });
      return plant.central.admin("PUT", `/v1/changes/${number}`, { version: 1, title: "key" });
    },
  },
  "central's admin token carries on what is done in test": {
    says: /admin token is nobody/,
    tries: (plant) => plant.central.admin("POST", `/v1/changes/${plant.inTest}/promote`, { environment: "prod" }),
  },
  "an admin who is no approver approves": {
    says: /role approver/,
    tries: async (plant) => plant.approve(plant.root, await inReview(plant, plant.ada)),
  },
  "an operator approves": {
    says: /role approver/,
    tries: async (plant) => plant.approve(plant.olga, await inReview(plant, plant.ada)),
  },
  "an approver of other environments approves": {
    says: /role approver in environment "prod"/,
    tries: async (plant) => plant.approve(plant.dora, await inReview(plant, plant.ada)),
  },
  "an engineer of other environments writes": {
    says: /role engineer in environment "prod"/,
    tries: (plant) => plant.dora.call("POST", "/v1/changes", { ...draft, files: [plant.site("lyon", "prod")] }),
  },
  "a viewer writes": {
    says: /role engineer/,
    tries: (plant) => plant.vera.call("POST", "/v1/changes", { ...draft, files: [plant.site("lyon", "prod")] }),
  },
  "nobody, without a token": {
    says: /sign in/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada);
      const { digest } = await plant.read(number);
      const answer = await fetch(`${plant.central.url}/v1/changes/${number}/approve`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ digest }),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    },
  },
  "a page of another host approves with an approver's cookie": {
    says: /csrf|not-allowed|plantgate-csrf/i,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada);
      const { digest } = await plant.read(number);
      const answer = await fetch(`${plant.central.url}/v1/changes/${number}/approve`, {
        method: "POST",
        headers: { "content-type": "application/json", cookie: plant.cleo.cookie },
        body: JSON.stringify({ digest }),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    },
  },
  "a draft is started": {
    says: /it is draft; only what is approved/,
    tries: async (plant) =>
      plant.step(plant.ada, await plant.write(plant.ada, { files: [plant.site("lyon", "prod", { line: "d" })] }), "start"),
  },
  "a draft is approved that nobody handed in": {
    says: /it is a draft/,
    tries: async (plant) =>
      plant.approve(plant.ben, await plant.write(plant.ada, { files: [plant.site("lyon", "prod", { line: "e" })] })),
  },
  "what is in review is started": {
    says: /it is review; only what is approved/,
    tries: async (plant) => plant.step(plant.ada, await inReview(plant, plant.ada), "start"),
  },
  "an approval names no digest": {
    says: /names the digest/,
    tries: async (plant) => plant.step(plant.ben, await inReview(plant, plant.ada), "approve", {}),
  },
  "an approval names the digest of an earlier reading": {
    says: /not what you read any more/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada);
      const { digest, version } = await plant.read(number);
      await plant.must(plant.step(plant.ada, number, "withdraw"));
      const files = [plant.site("lyon", "prod", { line: "other" })];
      await plant.must(plant.ada.call("PUT", `/v1/changes/${number}`, { version, files }));
      await plant.must(plant.step(plant.ada, number, "submit"));
      return plant.approve(plant.ben, number, digest);
    },
  },
  "the digest of another change": {
    says: /not what you read any more/,
    tries: async (plant) => {
      const { digest } = await plant.read(await inReview(plant, plant.ada));
      return plant.approve(plant.ben, await inReview(plant, plant.ada), digest);
    },
  },
  "a stale digest on the command line": {
    says: /not what was read any more/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada);
      return plant.command(await plant.token(plant.ben, ["approver"]), "approve", String(number), "--digest", "0123456789abcdef");
    },
  },
  "what is approved is edited": {
    says: /withdraw it first/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada, { strategy: { ...quick, start: "manual" } });
      await plant.must(plant.approve(plant.ben, number));
      const { version } = await plant.read(number);
      return plant.ada.call("PUT", `/v1/changes/${number}`, {
        version,
        files: [plant.site("lyon", "prod", { line: "swapped" })],
      });
    },
  },
  "what was approved is withdrawn, edited, handed in again, and started on the old approval": {
    says: /it is review; only what is approved/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada, { strategy: { ...quick, start: "manual" } });
      await plant.must(plant.approve(plant.ben, number));
      await plant.must(plant.step(plant.ada, number, "withdraw"));
      const { version } = await plant.read(number);
      const files = [plant.site("lyon", "prod", { line: "swapped-2" })];
      await plant.must(plant.ada.call("PUT", `/v1/changes/${number}`, { version, files }));
      await plant.must(plant.step(plant.ada, number, "submit"));
      return plant.step(plant.ada, number, "start");
    },
  },
  "what was approved is withdrawn and handed in again as it was, and started": {
    says: /it is review; only what is approved/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada, { strategy: { ...quick, start: "manual" } });
      await plant.must(plant.approve(plant.ben, number));
      await plant.must(plant.step(plant.ada, number, "withdraw"));
      await plant.must(plant.step(plant.ada, number, "submit"));
      return plant.step(plant.ada, number, "start");
    },
  },
  "an expedited change of one person": {
    says: /you are its author/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada, { expedited: true });
      return plant.approve(plant.ada, number);
    },
  },
  "a template that test has not run": {
    says: /prod takes only what a change that is done has run in test/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, { files: [plant.template(fresh())] });
      return plant.step(plant.ada, number, "submit");
    },
  },
  "a policy that test has not run": {
    says: /prod takes only what a change that is done has run in test/,
    tries: async (plant) => {
      const policy = policyFile("loud", { environment: "prod" }, { logLevel: "debug" });
      return plant.step(plant.ada, await plant.write(plant.ada, { files: [policy] }), "submit");
    },
  },
  "a policy of dev that takes the review of prod away": {
    says: /you are its author/,
    tries: async (plant) => {
      const policy = policyFile("no-review", { environment: "prod" }, { review: { required: false } });
      const number = await plant.write(plant.ada, { environment: "dev", files: [policy] });
      await plant.step(plant.ada, number, "submit");
      return plant.approve(plant.ada, await inReview(plant, plant.ada));
    },
  },
  "a template goes from dev to prod past test": {
    says: /from "dev" it goes to "test"/,
    tries: async (plant) => {
      const dev = await plant.write(plant.ada, { environment: "dev", files: [plant.template(fresh())] });
      await plant.carryOut(plant.ada, plant.ada, dev);
      return plant.ada.call("POST", `/v1/changes/${dev}/promote`, { environment: "prod" });
    },
  },
  "a template goes from dev to prod past test, on the command line": {
    says: /from "dev" it goes to "test"/,
    tries: async (plant) =>
      plant.command(await plant.token(plant.ada, ["engineer"]), "change", "promote", String(plant.dev), "--environment", "prod"),
  },
  "what was not done in test is carried on": {
    says: /only what is done/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, { environment: "test", files: [plant.template(fresh())] });
      await plant.must(plant.step(plant.ada, number, "submit"));
      return plant.ada.call("POST", `/v1/changes/${number}/promote`, { environment: "prod" });
    },
  },
  "what was carried on from test is approved by who carried it on": {
    says: /you are its author/,
    tries: async (plant) => {
      const on = await plant.ada.call<ChangeView>("POST", `/v1/changes/${plant.inTest}/promote`, { environment: "prod" });
      await plant.must(plant.step(plant.ada, on.body.number, "submit"));
      return plant.approve(plant.ada, on.body.number);
    },
  },
  "what was carried on from test is swapped for something else": {
    says: /prod takes only what a change that is done has run in test/,
    tries: async (plant) => {
      const on = await plant.ada.call<ChangeView>("POST", `/v1/changes/${plant.inTest}/promote`, { environment: "prod" });
      const { number, version } = on.body;
      await plant.must(plant.ada.call("PUT", `/v1/changes/${number}`, { version, files: [plant.template(fresh())] }));
      return plant.step(plant.ada, number, "submit");
    },
  },
  "a push to a site of prod": {
    says: /plantgate apply/,
    tries: (plant) =>
      plant.ada.call("POST", "/v1/sites/lyon/revisions", { files: [plant.template(fresh()), plant.site("lyon", "prod")] }),
  },
  "a push with central's admin token": {
    says: /plantgate apply/,
    tries: (plant) =>
      plant.central.admin("POST", "/v1/sites/lyon/revisions", { files: [plant.template(fresh()), plant.site("lyon", "prod")] }),
  },
  "a push on the command line": {
    says: /plantgate apply/,
    tries: async (plant) => {
      const files = [plant.file(plant.template(fresh())), plant.file(plant.site("lyon", "prod"))];
      return plant.command(await plant.token(plant.ada, ["engineer"]), "push", "lyon", ...files);
    },
  },
  "a push that says that the site is of dev": {
    says: /plantgate apply/,
    tries: (plant) =>
      plant.ada.call("POST", "/v1/sites/lyon/revisions", { files: [plant.template(fresh()), plant.site("lyon", "dev")] }),
  },
  "a push to a site of dev that says that it is of prod": {
    says: /belongs to "dev" for good/,
    tries: (plant) =>
      plant.ada.call("POST", "/v1/sites/lyon-d/revisions", { files: [plant.template(fresh()), plant.site("lyon-d", "prod")] }),
  },
  "a push to a site without an environment": {
    says: /says no environment/,
    tries: async (plant) => {
      await plant.central.addSite("nantes");
      return plant.ada.call("POST", "/v1/sites/nantes/revisions", { files: [plant.template(fresh()), siteFile("nantes", {})] });
    },
  },
  "a push to a site that was just made for prod": {
    says: /plantgate apply/,
    tries: async (plant) => {
      await plant.must(plant.central.admin("POST", "/v1/sites", { name: "brest", environment: "prod" }));
      return plant.ada.call("POST", "/v1/sites/brest/revisions", {
        files: [plant.template(fresh()), plant.site("brest", "dev")],
      });
    },
  },
  "a change of dev with the site of prod in it": {
    says: /belongs to "prod"/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, { environment: "dev", files: [plant.site("lyon", "dev", { line: "stolen" })] });
      return plant.step(plant.ada, number, "submit");
    },
  },
  "a change of dev whose site says that it is of prod": {
    says: /belongs to "prod"|has the label environment: prod/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, {
        environment: "dev",
        files: [plant.site("lyon", "prod", { line: "stolen" })],
      });
      return plant.step(plant.ada, number, "submit");
    },
  },
  "a change of dev that removes the site of prod": {
    says: /not in force in "dev"/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, { environment: "dev", removes: [{ kind: "Site", name: "lyon" }] });
      return plant.step(plant.ada, number, "submit");
    },
  },
  "a change of dev, of the template that prod runs": {
    says: /it is (rolling-out|done)/,
    tries: async (plant) => {
      const number = await plant.write(plant.ada, { environment: "dev", files: [plant.template(fresh())] });
      await plant.carryOut(plant.ada, plant.ada, number);
      return plant.step(plant.ada, number, "start");
    },
  },
  "a change of an environment whose name looks like prod's": {
    says: /belongs to "prod"|lower-case|environment/,
    tries: async (plant) => {
      const made = await plant.ada.call("POST", "/v1/changes", {
        ...draft,
        environment: "PROD",
        files: [plant.site("lyon", "PROD")],
      });
      return made.status === 422 ? made : plant.step(plant.ada, made.body.number as number, "submit");
    },
  },
  "a rejected change is started": {
    says: /it is draft/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada);
      await plant.must(plant.step(plant.cleo, number, "reject", { comment: "no" }));
      return plant.step(plant.ada, number, "start");
    },
  },
  "an abandoned change is approved": {
    says: /it is abandoned/,
    tries: async (plant) => {
      const number = await inReview(plant, plant.ada);
      await plant.must(plant.step(plant.ada, number, "abandon"));
      return plant.approve(plant.ben, number);
    },
  },
  "the author reviews his own change as if it were expedited": {
    says: /reviewed after it was started/,
    tries: async (plant) => plant.step(plant.ada, await inReview(plant, plant.ada), "review"),
  },
  "a name of the author's in another case, by an account of its own": {
    says: /a user's name|environment|invalid/,
    tries: (plant) => plant.central.admin("POST", "/v1/users", { name: "Ada", roles: ["approver"], environments: ["*"] }),
  },
  "a token with more roles than its user has": {
    says: /no more than its user/,
    tries: (plant) => plant.olga.call("POST", "/v1/tokens", { purpose: "more", roles: ["approver"], lifeSeconds: 3600 }),
  },
  "a gateway's call asks for another revision than is desired, under a person's path": {
    says: /./,
    tries: async (plant) =>
      plant.bearer("not-a-token", "POST", "/v1/sites/lyon/revisions", { files: [plant.site("lyon", "prod")] }),
  },
};
