import { describe, expect, it } from "vitest";
import { openChanges } from "../../support/changes.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

describe.each(await storages())("a push on %s", (kind) => {
  const refused = (why: string) => ({ kind: "refused", reason: expect.stringContaining(why) });
  const files = (site: string, environment: string) => siteDocuments({ site, labels: { environment } });

  it("gives a site without an environment that of its first document, for good", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await test.addSite("lyon");
    expect(await test.revisions.push("lyon", files("lyon", "test"))).toEqual(refused("plantgate apply"));
    expect(await test.revisions.push("lyon", files("lyon", "dev"))).toMatchObject({ kind: "created" });
    expect(await test.revisions.push("lyon", files("lyon", "prod"))).toEqual(refused('belongs to "dev" for good'));
    const site = await test.storage.selectFrom("sites").selectAll().where("name", "=", "lyon").executeTakeFirstOrThrow();
    expect(site).toMatchObject({ environment: "dev", desired_revision: 1 });
  });

  it("is refused for a site that runs something and belongs to no environment", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await test.addSite("lyon");
    await test.revisions.push("lyon", files("lyon", "dev"));
    // as one that had a document without the label before there were environments
    await test.storage.updateTable("sites").set({ environment: "" }).execute();
    expect(await test.revisions.push("lyon", files("lyon", "dev"))).toEqual(refused("counts as prod"));
  });

  it("is refused for a site whose document is in force elsewhere", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await test.addSite("lyon");
    await test.storage
      .transaction()
      .execute((tx) => test.documents.putInForce(tx, "prod", 1, [{ kind: "Site", name: "lyon", revision: 1 }]));
    expect(await test.revisions.push("lyon", files("lyon", "dev"))).toEqual(refused("in force in prod"));
  });

  it("moves nothing that is in force", async () => {
    await using storage = await openTestStorage(kind);
    await using test = await openChanges(storage.target);
    await test.addSite("lyon");
    await test.revisions.push("lyon", files("lyon", "dev"));
    expect(await test.documents.inForce(test.storage, "dev")).toEqual([]);
  });
});
