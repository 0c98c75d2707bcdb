import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import type { CompletenessAnswer, MessagesAnswer } from "../../../central/http/views.ts";
import { Identity } from "../../../gateway/identity/identity.ts";
import { LaneShares } from "../../../gateway/link/lane-shares.ts";
import { LinkProgress } from "../../../gateway/link/progress.ts";
import { Session } from "../../../gateway/link/session.ts";
import { Transport } from "../../../gateway/link/transport.ts";
import { runUplink } from "../../../gateway/link/uplink.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { systemClock } from "../../../protocol/index.ts";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { pick } from "../../support/messages.ts";
import { until } from "../../support/process.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

const log = openLogger({ level: "silent", site: "lyon" });

/** A gateway's queue, and its link to a central for as long as something waits. */
async function openGateway() {
  const folder = temporaryFolder();
  const identity = Identity.open(folder.path);
  const path = join(folder.path, "queue.sqlite");
  const open = () => Queue.open({ path, site: "lyon", onFailure: () => {} });
  let queue = await open();
  let number = 0;
  return {
    get queue() {
      return queue;
    },
    /** It is started again, and all that was acknowledged was so long ago. */
    async restartLater(ms: number): Promise<void> {
      await queue.close();
      {
        using db = new DatabaseSync(path);
        db.prepare("UPDATE acks SET run_at = run_at - ?").run(ms);
        db.exec("INSERT OR REPLACE INTO acks (lane, sequence, run_at) SELECT lane, 10, min(run_at) FROM acks GROUP BY lane");
      }
      queue = await open();
    },
    publicKey: identity.publicPem,
    async append(count: number): Promise<void> {
      for (let each = 0; each < count; each++)
        await queue.commit({
          messages: [{ lane: "transaction", line: JSON.stringify(pick("lyon", `T-${++number}`)) }],
          dispatched: { lane: "transaction", upTo: number },
        });
    },
    /** Until central has acknowledged everything, and has `count` messages, two a batch, and knows of `lost` ones; `slowly`: the queue tidies up once behind the first of them. */
    async link(central: TestCentral, { slowly = false, count = 0, lost = 0 } = {}): Promise<void> {
      const clock = systemClock;
      const transport = new Transport({ site: "lyon", centralUrl: central.url, keys: identity, clock });
      const send = transport.send.bind(transport);
      let batches = 0;
      transport.send = async (request, signal) => {
        if (slowly && request.path.endsWith("/batches") && ++batches === 1) await clock.sleep(1500, signal);
        return send(request, signal);
      };
      const session = new Session(
        { site: "lyon", version: "0", transport, queue, clock, log, onFenced: async () => {} },
        undefined,
      );
      const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 });
      const progress = new LinkProgress(clock, log);
      const stopping = new AbortController();
      const { signal } = stopping;
      const limits = { batch: { bytes: 1_000_000, messages: 2 }, lingerMs: () => 0 };
      const uplink = { site: "lyon", queue, session, shares, limits, progress, clock, log };
      const loops = [session.run(signal), runUplink(uplink, "transaction", signal)];
      await until(
        async () => ({ ...(await queue.position("transaction")), link: session.state.kind }),
        ({ link, acknowledged, last }) => link === "online" && acknowledged === last,
      );
      // a central that has less than was acknowledged is given it again a moment later
      await until(
        async () => ({ count: (await txnsOf(central)).length, lanes: await lanesOf(central) }),
        (found) => found.count >= count && found.lanes.some((lane) => lane.lost >= lost),
      );
      stopping.abort();
      await Promise.all(loops);
      transport.close();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await queue.close();
      folder[Symbol.dispose]();
    },
  };
}

async function addLyon(central: TestCentral, publicKey: string): Promise<void> {
  await central.admin("POST", "/v1/sites", { name: "lyon", publicKey });
  await central.admin("POST", "/v1/sites/lyon/revisions", { files: siteDocuments({ site: "lyon", send: ["pick.confirmed"] }) });
}

const txnsOf = async (central: TestCentral): Promise<string[]> =>
  (await central.admin<MessagesAnswer>("GET", "/v1/messages?limit=500")).body.messages.map(
    ({ event }) => (event.data as { txnId: string }).txnId,
  );
const lanesOf = async (central: TestCentral) =>
  (await central.admin<CompletenessAnswer>("GET", "/v1/completeness?site=lyon")).body.lanes.filter(
    ({ lane }) => lane === "transaction",
  );
const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `T-${index + 1}`);

describe.each(await storages())("epochs that a gateway has left, with central on %s", (storage) => {
  it("rule 6: come again with what a restored central lost of them, before what follows them", async () => {
    await using earlier = await startTestCentral({ storage });
    await using later = await startTestCentral({ storage });
    await using gateway = await openGateway();
    for (const central of [earlier, later]) await addLyon(central, gateway.publicKey);
    await gateway.append(5);
    await gateway.link(earlier);
    await gateway.append(5);
    await gateway.link(later);
    // twice: one of them began, and ended, when the other central did not look
    for (let epochs = 0; epochs < 2; epochs++) {
      await gateway.queue.openEpoch("transaction");
      await gateway.append(2);
      await gateway.link(later);
    }
    await gateway.append(1);
    // central is set back to where it was after the first five, and comes back when all that was acknowledged is older than its recovery point
    await gateway.restartLater(2 * 3_600_000);
    await gateway.link(earlier, { slowly: true, count: 15 });
    expect(await txnsOf(earlier)).toEqual(numbered(15));
    expect((await lanesOf(earlier)).map(({ recorded, missing, lost }) => ({ recorded, missing, lost }))).toEqual(
      expect.arrayContaining([
        { recorded: 10, missing: 0, lost: 0 },
        { recorded: 2, missing: 0, lost: 0 },
        { recorded: 3, missing: 0, lost: 0 },
      ]),
    );
    // and to a central that has all of them nothing is sent twice
    await gateway.link(later, { count: 15 });
    expect(await txnsOf(later)).toEqual(numbered(15));
  });

  it("rule 6: are told as lost by the receiver where nobody has kept them", async () => {
    await using earlier = await startTestCentral({ storage });
    await using later = await startTestCentral({ storage });
    await using gateway = await openGateway();
    for (const central of [earlier, later]) await addLyon(central, gateway.publicKey);
    await gateway.append(2);
    await gateway.link(earlier);
    await gateway.append(3);
    await gateway.link(later);
    await gateway.queue.openEpoch("transaction");
    await gateway.append(1);
    await gateway.link(later);
    // central says that it loses nothing: what it has goes with the next acknowledgement
    await gateway.queue.keepAcknowledged(0);
    await gateway.append(1);
    const position = await gateway.queue.position("transaction");
    await gateway.queue.commit({ acknowledged: { lane: "transaction", epoch: position.epoch, watermark: position.last } });
    await until(
      () => gateway.queue.position("transaction"),
      ({ pruned }) => pruned >= 5,
    );
    await gateway.link(earlier, { lost: 3 });
    const lanes = await until(
      () => lanesOf(earlier),
      (found) => found.some(({ lost }) => lost === 3),
    );
    expect(lanes.every(({ missing }) => missing === 0)).toBe(true);
  });
});
