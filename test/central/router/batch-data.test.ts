import { describe, expect, it } from "vitest";
import { makeEvent } from "../../../protocol/index.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { itemPayload } from "../../support/documents.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

const item = (itemId: string) =>
  makeEvent("item.published", itemPayload({ itemId }), {
    id: `id-${itemId}`,
    site: "hq",
    connector: "erp",
    recordedAt: Date.now(),
  });

describe.each(await storages())("batch data on %s", (storage) => {
  it("goes to the sites that take it, and is told of where nobody does", async () => {
    await using central = await startTestCentral({ storage });
    const [hq, plant] = [await central.addSite("hq"), await central.addSite("plant-a")];
    await central.admin("POST", "/v1/sites/hq/revisions", { files: siteDocuments({ site: "hq", send: ["item.published"] }) });
    const bulk = hq.lane("bulk");
    await hq.hello([bulk]);
    await plant.hello();
    bulk.append([item("RM-ALU")]);
    await hq.send(bulk, bulk.batch(1));
    const { body } = await eventually(
      () => central.admin<{ exceptions: unknown[] }>("GET", "/v1/exceptions"),
      (answer) => answer.body.exceptions.length > 0,
    );
    expect(body.exceptions).toMatchObject([{ kind: "unrouted", site: "hq", type: "mfg.item.published.v1", count: 1 }]);

    const consumes = [{ type: "item.published" }];
    await central.admin("POST", "/v1/sites/plant-a/revisions", {
      files: siteDocuments({ site: "plant-a", receive: ["item.published"], consumes }),
    });
    bulk.append([item("RM-STL")]);
    await hq.send(bulk, bulk.batch(2));
    const taken = await eventually(
      () => plant.downlink({ knownRevision: 1, waitMs: 500, sequence: 0 }),
      (answer) => answer.body.messages.length > 0,
    );
    expect(taken.body.messages).toMatchObject([{ event: { subject: "item/RM-STL" } }]);
  });
});
