import { describe, expect, it } from "vitest";
import { ChangeRefused } from "../../../central/change/refused.ts";
import { key, openChanges, person, type TestChanges } from "../../support/changes.ts";
import { policyFile, siteFile, templateFile } from "../../support/policy-documents.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

const ada = person("ada", ["engineer", "approver"]);
const ben = person("ben", ["engineer", "approver"]);
const cleo = person("cleo", ["engineer", "approver", "operator"]);
const said = { comment: "" };

/** What was refused, and why. */
async function refusal(run: Promise<unknown>): Promise<{ code: string; reason: string }> {
  try {
    await run;
  } catch (error) {
    if (error instanceof ChangeRefused) return { code: error.code, reason: `${error.message} ${JSON.stringify(error.problems)}` };
    throw error;
  }
  throw new Error("it was not refused");
}

const lyon = (environment: string, spec = {}) => siteFile("lyon", { environment }, spec);
const template = (purpose: string) => templateFile({ flow: { purpose } });

/** A template that runs in test, and by the same revision in prod at one site. */
async function running(test: TestChanges): Promise<void> {
  await test.addSite("lyon", "prod");
  await test.addSite("lyon-t", "test");
  const first = await test.draft(ada, [template("first"), siteFile("lyon-t", { environment: "test" })], { environment: "test" });
  await test.carryOut(ada, ben, first);
  const prod = await test.draft(ada, [template("first"), lyon("prod")]);
  await test.carryOut(ada, ben, prod);
}

describe.each(await storages())("changes on %s", (kind) => {
  it("go from a draft over review and approval to what is in force", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    expect(
      (await test.documents.inForce(test.storage, "prod")).map(({ kind, name, revision }) => `${kind}/${name}@${revision}`),
    ).toEqual(["Site/lyon@1", "Template/plant@1"]);
    const site = await test.storage.selectFrom("sites").selectAll().where("name", "=", "lyon").executeTakeFirstOrThrow();
    expect(site).toMatchObject({ desired_revision: 1, environment: "prod" });
    const revision = await test.storage.selectFrom("revisions").selectAll().where("site", "=", "lyon").executeTakeFirstOrThrow();
    expect(revision.change).toBe(2);
    expect(JSON.parse(revision.origins ?? "")).toMatchObject({
      documents: expect.arrayContaining([{ kind: "Template", name: "plant", revision: 1 }]),
    });
    const view = await test.views.view(2, cleo);
    expect(view?.events.map(({ kind }) => kind)).toEqual(["created", "submitted", "approved", "started", "ended"]);
    expect((await test.audit.verify(test.storage)).badAt).toBeNull();
    const entries = await test.storage.selectFrom("audit").select("entry").orderBy("number").execute();
    expect(entries.map(({ entry }) => (JSON.parse(entry) as { action: string }).action).slice(-5)).toEqual([
      "change.created",
      "change.submitted",
      "change.approved",
      "change.started",
      "change.ended",
    ]);
  });

  it("give the same content the same revision, and the same bundle the same number", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const again = await test.draft(ben, [template("first"), lyon("prod")]);
    expect((await test.views.view(again, ben))?.documents.map(({ revision }) => revision)).toEqual([1, 1]);
    await test.changes.submit(ben, again, said);
    await test.approve(ada, again).catch(() => test.approve(cleo, again));
    const plan = await test.changes.plan(again);
    expect(plan).toMatchObject({ kind: "planned", sites: [] });
  });

  it("are refused when what is in force has moved, until the draft is edited", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const mine = await test.draft(ada, [lyon("prod", { timeZone: "Europe/Paris" })]);
    const other = await test.draft(ben, [lyon("prod", { timeZone: "Europe/Rome" })]);
    await test.carryOut(ben, cleo, other);
    expect((await refusal(test.changes.submit(ada, mine, said))).reason).toContain("Site/lyon is at revision");
    await test.changes.edit(ada, mine, { version: 1, title: "on top of the other" });
    await test.changes.submit(ada, mine, said);
    expect(await test.state(mine)).toBe("review");
  });

  it("that were approved and are overtaken by another one are refused when their turn comes", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const [first, second] = [
      await test.draft(ada, [lyon("prod", { timeZone: "Europe/Paris" })]),
      await test.draft(ada, [lyon("prod", { timeZone: "Europe/Rome" })]),
    ];
    for (const number of [first, second]) {
      await test.changes.submit(ada, number, said);
      await test.approve(ben, number);
    }
    expect(test.queued.map(({ number }) => number).slice(-2)).toEqual([first, second]);
    await test.end(first, "done");
    expect(await test.changes.plan(second)).toMatchObject({ kind: "refused" });
    await test.end(second, "aborted");
    const inForce = await test.documents.inForce(test.storage, "prod");
    expect(inForce.find(({ name }) => name === "lyon")?.change).toBe(first);
  });

  it("do not leave review with problems, failing examples or a site that does not render", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const wrong = await test.draft(ada, [lyon("prod", { parameters: { nothing: 1 } })]);
    expect(await refusal(test.changes.submit(ada, wrong, said))).toMatchObject({
      code: "invalid",
      reason: expect.stringContaining("nothing"),
    });
    const needsMore = templateFile({ parameters: { port: { type: "integer" } } });
    const breaking = await test.draft(ada, [needsMore], { environment: "test" });
    expect((await refusal(test.changes.submit(ada, breaking, said))).reason).toContain('parameter \\"port\\" is missing');
    const example = {
      ...templateFile({ flow: { examples: [{ given: "a.json", expect: "b.json" }] } }),
    };
    const files = (expected: string) => [example, { name: "a.json", text: "{}" }, { name: "b.json", text: expected }];
    const failing = await test.draft(ada, files("[]"), { environment: "test" });
    expect((await test.diffs.of(failing))?.examples).toMatchObject([{ flow: "orders", given: "a.json", ok: false }]);
    expect((await refusal(test.changes.submit(ada, failing, said))).code).toBe("invalid");
  });

  it("keep what cannot be told apart from being kept at all: no kind, no name, no YAML, twice the same", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    for (const text of ["a: [", "kind: Nothing", "kind: Site\nmetadata: {}", `${lyon("dev").text}\n---\n${lyon("dev").text}`])
      expect(await refusal(test.draft(ada, [{ name: "a.yaml", text }], { environment: "dev" }))).toMatchObject({
        code: "invalid",
      });
    expect(await test.storage.selectFrom("document_revisions").selectAll().execute()).toEqual([]);
  });

  it("keep no document of a secret that says more than it should", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    const secret = {
      apiVersion: "plantgate/v1",
      kind: "Secret",
      metadata: { name: "wms", owner: "a", purpose: "b" },
      spec: { value: "hunter2" },
    };
    const draft = test.draft(ada, [{ name: "s.yaml", text: JSON.stringify(secret) }], { environment: "dev" });
    expect((await refusal(draft)).reason).not.toContain("hunter2");
    expect(await test.storage.selectFrom("document_revisions").selectAll().execute()).toEqual([]);
  });

  it("of dev are started by their author alone, unless a policy asks for review", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await test.addSite("lyon", "dev");
    const alone = await test.draft(key, [template("first"), lyon("dev")], { environment: "dev" });
    await test.changes.submit(key, alone, said);
    expect(await test.state(alone)).toBe("rolling-out");
    await test.end(alone, "done");
    const strict = await test.draft(ada, [policyFile("reads", { environment: "dev" }, { review: { required: true } })], {
      environment: "dev",
    });
    await test.carryOut(ada, ben, strict);
    const next = await test.draft(ada, [template("second")], { environment: "dev" });
    await test.changes.submit(ada, next, said);
    expect(await test.state(next)).toBe("review");
    expect((await refusal(test.draft(key, [template("third")], { environment: "dev" }))).reason).toContain("nobody");
  });

  it("that are expedited go to prod with two people, and owe a review by a third", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const urgent = await test.draft(ada, [template("urgent")], { expedited: true });
    await test.changes.submit(ada, urgent, said);
    expect((await refusal(test.approve(ada, urgent))).reason).toContain("author");
    await test.approve(ben, urgent);
    expect(test.queued.at(-1)).toMatchObject({ number: urgent, expedited: true });
    await test.end(urgent, "done");
    expect((await test.views.list({ reviewOwed: true, limit: 10 })).map(({ number }) => number)).toEqual([urgent]);
    for (const who of [ada, ben, key, person("dan", ["engineer"])]) await refusal(test.changes.review(who, urgent, said));
    await test.changes.review(cleo, urgent, { comment: "read" });
    expect(await test.views.list({ reviewOwed: true, limit: 10 })).toEqual([]);
  });

  it("are carried from dev over test to prod with the same revisions, sites left behind", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    for (const environment of ["dev", "test", "prod"]) {
      await test.addSite(`lyon-${environment}`, environment);
    }
    const dev = await test.draft(ada, [template("first"), siteFile("lyon-dev", { environment: "dev" })], { environment: "dev" });
    await test.carryOut(ada, ada, dev);
    const inTest = await test.changes.promote(ada, dev, { environment: "test" });
    expect((await test.changes.now(inTest))?.record.documents).toEqual([
      { kind: "Template", name: "plant", revision: 1, base: 0 },
    ]);
    await test.carryOut(ada, ben, inTest);
    const prod = await test.changes.promote(ada, inTest, { environment: "prod" });
    await test.changes.submit(ada, prod, said);
    await test.approve(ben, prod);
    expect(await test.state(prod)).toBe("rolling-out");
    expect((await refusal(test.changes.promote(ada, dev, { environment: "prod" }))).reason).toContain('"test"');
    expect((await refusal(test.changes.promote(ada, prod, { environment: "prod" }))).reason).toContain("done");
  });

  it("that carry what central's admin token wrote are approved once a person has written that", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await test.addSite("lyon", "dev");
    const bare = await test.draft(key, [template("first"), lyon("dev")], { environment: "dev" });
    await test.carryOut(key, key, bare);
    const on = await test.changes.promote(ada, bare, { environment: "test" });
    await test.changes.submit(ada, on, said);
    expect((await refusal(test.approve(ben, on))).reason).toContain("admin token");
    await test.changes.withdraw(ada, on, said);
    await test.changes.edit(ada, on, { version: 1, files: [template("first")] });
    await test.changes.submit(ada, on, said);
    await test.approve(ben, on);
    expect(await test.state(on)).toBe("rolling-out");
  });

  it("of dev keep no site from the environment that it is made for later", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    const early = await test.draft(ada, [template("first"), lyon("dev")], { environment: "dev" });
    await test.carryOut(ada, ada, early);
    await test.addSite("lyon", "prod");
    const prod = await test.draft(ada, [template("first"), lyon("prod")], { expedited: true });
    await test.carryOut(ada, ben, prod);
    const again = await test.draft(ada, [siteFile("lyon", { environment: "dev", region: "eu" })], { environment: "dev" });
    expect((await refusal(test.changes.submit(ada, again, said))).reason).toContain('belongs to "prod"');
    const gone = await test.draft(ada, [], { environment: "dev", removes: [{ kind: "Site", name: "lyon" }] });
    await test.carryOut(ada, ada, gone);
    expect((await test.documents.inForce(test.storage, "dev")).map(({ name }) => name)).toEqual(["plant"]);
    const { environment } = await test.storage
      .selectFrom("sites")
      .selectAll()
      .where("name", "=", "lyon")
      .executeTakeFirstOrThrow();
    expect(environment).toBe("prod");
  });

  it("reach a site that was registered after they were judged", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const both = await test.draft(ada, [siteFile("lyon-t2", { environment: "test" })], { environment: "test" });
    await test.carryOut(ada, ben, both);
    const next = await test.draft(ada, [template("second")], { environment: "test" });
    await test.changes.submit(ada, next, said);
    await test.addSite("lyon-t2", "test");
    await test.approve(ben, next);
    expect(await test.changes.plan(next)).toMatchObject({ sites: [{ site: "lyon-t" }, { site: "lyon-t2" }] });
  });

  it("keep the files that a template names when only its text is edited", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    const text = (purpose: string) => templateFile({ flow: { purpose, examples: [{ given: "e/a.json", expect: "e/b.json" }] } });
    const number = await test.draft(ada, [text("one"), { name: "e/a.json", text: "{}" }, { name: "e/b.json", text: "[1]" }], {
      environment: "dev",
    });
    await test.changes.edit(ada, number, { version: 1, files: [text("two")] });
    const { record } = (await test.changes.now(number))!;
    const [document] = await test.documents.read(test.storage, record.documents);
    expect(document?.attachments).toEqual({ "e/a.json": "{}", "e/b.json": "[1]" });
    expect(document?.revision).toBe(2);
  });

  it("are edited by one at a time: who edits an older version is told who was first", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    const number = await test.draft(ada, [template("one")], { environment: "dev" });
    const edits = await Promise.allSettled([
      test.changes.edit(ada, number, { version: 1, title: "ada's" }),
      test.changes.edit(ben, number, { version: 1, title: "ben's" }),
    ]);
    expect(edits.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect((await test.changes.now(number))?.record.row.version).toBe(2);
  });

  it("are approved once and started once when several do so at the same time", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const number = await test.draft(ada, [lyon("prod", { timeZone: "Europe/Paris" })]);
    await test.changes.submit(ada, number, said);
    const before = test.queued.length;
    const approvals = await Promise.allSettled([test.approve(ben, number), test.approve(cleo, number)]);
    expect(approvals.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    await refusal(test.changes.start(cleo, number, said));
    expect(test.queued).toHaveLength(before + 1);
  });

  it("tell everybody what he may do, and why not what he may not", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const number = await test.draft(ada, [lyon("prod", { timeZone: "Europe/Paris" })]);
    await test.changes.submit(ada, number, said);
    expect((await test.views.view(number, ada))?.may).toMatchObject({
      approve: { allowed: false, reason: "you are its author; somebody else has to approve it" },
      withdraw: { allowed: true },
      edit: { allowed: false },
    });
    expect((await test.views.view(number, ben))?.may).toMatchObject({ approve: { allowed: true }, withdraw: { allowed: false } });
  });

  it("show what they change: documents side by side, and bundles value by value", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await running(test);
    const number = await test.draft(ada, [siteFile("lyon", { environment: "prod", region: "eu" }), template("second")], {
      expedited: true,
    });
    const diff = await test.diffs.of(number);
    expect(diff?.documents.map(({ kind, before, after }) => [kind, before?.revision, after?.revision])).toEqual([
      ["Site", 1, 2],
      ["Template", 1, 2],
    ]);
    expect(diff?.sites).toMatchObject([
      {
        site: "lyon",
        before: { revision: 1 },
        differences: expect.arrayContaining([
          { path: "flows.orders.purpose", kind: "changed", before: "first", after: "second" },
        ]),
      },
    ]);
  });
});

it("a document that never ends being judged is ended, and central goes on", async () => {
  await using storage = await openTestStorage("sqlite");
  await using test = await openChanges(storage.target, { limitMs: 3000 });
  const endless = templateFile({
    flow: {
      from: { connector: "scheduler", webhook: "/orders" },
      as: "production-order.released",
      // backtracks 2^40 times, and nothing can interrupt it
      map: `$contains("${"a".repeat(40)}!", /^(a+)+$/) ? payload : payload`,
      to: [{ central: true }],
      examples: [{ given: "a.json", expect: "b.json" }],
    },
  });
  const files = [endless, { name: "a.json", text: "{}" }, { name: "b.json", text: "[]" }];
  const number = await test.draft(ada, files, { environment: "dev" });
  let turns = 0;
  const turning = setInterval(() => turns++, 5);
  const view = await test.views.view(number, ada);
  clearInterval(turning);
  expect(turns).toBeGreaterThan(10);
  expect(view?.problems).toMatchObject([{ message: expect.stringContaining("took longer than 3 s") }]);
  expect((await refusal(test.changes.submit(ada, number, said))).code).toBe("invalid");
  const sound = await test.draft(ada, [template("sound")], { environment: "dev" });
  expect((await test.views.view(sound, ada))?.problems).toEqual([]);
});
