import { describe, expect, it } from "vitest";
import { Effective } from "../../../central/document/effective.ts";
import { Renderer } from "../../../central/document/renderer.ts";
import { Revisions } from "../../../central/document/revisions.ts";
import { splitDocuments } from "../../../central/document/split.ts";
import { DocumentStore } from "../../../central/document/store.ts";
import { type SourceFile, systemClock } from "../../../protocol/index.ts";
import { beginSession, openLedger } from "../../support/ledger.ts";
import { policyFile, siteFile, templateFile } from "../../support/policy-documents.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

describe.each(await storages())("on %s, the origin of a site's values", (kind) => {
  it("follows the documents that are in force, also where what they say together stays the same", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage } = ledger;
    await beginSession(ledger, "lyon", []);
    await storage.updateTable("sites").set({ environment: "test" }).where("name", "=", "lyon").execute();
    const { privateKey } = await crypto.subtle.generateKey("Ed25519", false, ["sign"]).then((pair) => pair as CryptoKeyPair);
    const revisions = new Revisions({ ...ledger, signing: { kid: "test", privateKey, publicKey: "" } });
    const documents = new DocumentStore(systemClock);
    const renderer = new Renderer({ clock: systemClock });
    const effective = new Effective({ storage, documents, renderer });
    const files: SourceFile[] = [];
    const change = async (number: number, ...edited: SourceFile[]): Promise<void> => {
      for (const file of edited) {
        const at = files.findIndex(({ name }) => name === file.name);
        files.splice(at === -1 ? files.length : at, 1, file);
      }
      await storage.transaction().execute(async (tx) => {
        for (const document of splitDocuments(edited).documents) {
          const revision = await documents.write(tx, document, { actor: "ada", change: number, before: 0 });
          await documents.putInForce(tx, "test", number, [{ kind: document.kind, name: document.name, revision }]);
        }
      });
      const inForce = await documents.read(storage, await documents.inForce(storage, "test"));
      const [site] = (await renderer.run({ kind: "render", documents: inForce, touched: ["Site/lyon"] })).sites;
      if (site?.kind !== "rendered") throw new Error(JSON.stringify(site));
      const { revision } = await revisions.store("lyon", site.planned, number);
      await storage.transaction().execute((tx) => revisions.desire(tx, "lyon", revision));
    };
    const level = async () => {
      const view = await effective.view("lyon");
      const { value, origin } = view?.values.find(({ path }) => path === "logLevel") ?? {};
      return [view?.desiredRevision, view?.change, value, origin?.document, origin?.revision];
    };
    try {
      const labels = { environment: "test", region: "eu" };
      await change(1, templateFile(), siteFile("lyon", labels), policyFile("all", {}, { logLevel: "warn" }));
      expect(await level()).toEqual([1, 1, "warn", "Policy/all", 1]);
      // the same value from another document: the same revision
      await change(2, policyFile("eu", { region: "eu" }, { logLevel: "warn" }));
      expect(await level()).toEqual([1, 1, "warn", "Policy/eu", 1]);
      await change(3, policyFile("eu", { region: "eu" }, { logLevel: "debug" }));
      expect(await level()).toEqual([2, 3, "debug", "Policy/eu", 2]);
      // put back, while its document is in force still: as it was noted when it was rendered
      await storage.transaction().execute((tx) => revisions.desire(tx, "lyon", 1));
      expect(await level()).toEqual([1, 1, "warn", "Policy/all", 1]);
    } finally {
      await renderer.stop();
    }
  });
});
