import type { KyselyPlugin, QueryId } from "kysely";
import { describe, expect, it } from "vitest";
import { Downlink } from "../../../central/router/downlink.ts";
import { releaseParked } from "../../../central/router/parked.ts";
import { openStorage, type Storage } from "../../../central/storage/storage.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, openLedger, openRevisions, routePicks } from "../../support/ledger.ts";
import { pick } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

/** The storage, as one sees it to whom something happens once he has read rows of the downlink for the first time. */
function afterFirstLook(storage: Storage, happens: () => Promise<unknown>): Storage {
  const looks = new Set<QueryId>();
  const plugin: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      const looksAt = node.kind === "SelectQueryNode" && JSON.stringify(node.from).includes('"downlink"');
      if (looksAt && looks.size === 0) looks.add(queryId);
      return node;
    },
    async transformResult({ result, queryId }) {
      if (looks.has(queryId)) await happens();
      return result;
    },
  };
  return storage.withPlugin(plugin);
}

describe.each(await storages())("on %s", (kind) => {
  it("a poll that reads while parked messages are let go sends none of their key before them", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, projector } = ledger;
    const [lane, own2] = [new TestLane("plant-a", "transaction"), new TestLane("hq", "transaction")];
    const session = await beginSession(ledger, "plant-a", [lane]);
    const hq = await beginSession(ledger, "hq", [own2]);
    const revisions = await openRevisions(ledger);
    await routePicks(revisions, "plant-a", ["hq"]);
    for (const [txn, key] of [
      ["T-1", "mo-1"],
      ["T-2", "mo-2"],
      ["T-3", "mo-1"],
    ] as const) {
      lane.append([pick("plant-a", txn, { moId: key, key })]);
      const batch = lane.batch(lane.last);
      await ledger.ingest.record(headOf("plant-a", session, lane, batch), batch.body);
      while (await projector.step());
    }
    // the first one was parked for a batch that can be read again, the third one was not looked at yet
    await storage.updateTable("downlink").set({ parked_at: 1 }).where("sequence", "=", 1).execute();
    const other = await openStorage(own.target);
    const racing = afterFirstLook(storage, () => releaseParked(other));
    const downlink = new Downlink({ ...ledger, storage: racing, revisions, secretSets: { digest: async () => undefined } });
    const request = { session: hq, ack: { sequence: 0 }, knownRevision: 1, waitMs: 0 };
    const taken: string[] = [];
    let ack: { epoch?: string; sequence: number } = request.ack;
    for (let polls = 0; polls < 3; polls++) {
      const outcome = await downlink.poll("hq", { ...request, ack }, new AbortController().signal);
      if (outcome.kind !== "answer") throw new Error(outcome.kind);
      const { epoch, messages } = outcome.answer;
      taken.push(...messages.map(({ event }) => (event as { data: { txnId: string } }).data.txnId));
      ack = { epoch, sequence: messages.at(-1)?.sequence ?? ack.sequence };
    }
    await other.destroy();
    expect(taken).toEqual(["T-2", "T-1", "T-3"]);
  });
});
