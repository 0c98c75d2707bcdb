import { describe, expect, it } from "vitest";
import type { LedgerMessage, MessagesAnswer } from "../../../central/http/views.ts";
import type { CloudEvent } from "../../../protocol/index.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { delivered, pick, sample } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

async function lines(central: TestCentral, query: string): Promise<LedgerMessage[]> {
  const answer = await fetch(`${central.url}/v1/messages?${query}`, {
    headers: { authorization: `Bearer ${central.adminToken}`, accept: "application/x-ndjson" },
  });
  expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
  const text = await answer.text();
  return text === ""
    ? []
    : text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as LedgerMessage);
}
const json = async (central: TestCentral, query: string) =>
  (await central.admin<MessagesAnswer>("GET", `/v1/messages?${query}`)).body;

async function plantWith(central: TestCentral) {
  const plant = await central.addSite("plant-a");
  const files = siteDocuments({ site: "plant-a", send: ["pick.confirmed", "equipment.sampled"] });
  await central.admin("POST", "/v1/sites/plant-a/revisions", { files });
  return plant;
}

describe.each(await storages())("on %s", (storage) => {
  it("gives each message as its gateway wrote it, with its place, in lines and in one text alike", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await plantWith(central);
    const [picks, samples] = [plant.lane("transaction"), plant.lane("telemetry")];
    await plant.hello([picks, samples]);
    const awkward = pick("plant-a", 'T-"ä\u2028\\', { value: "0.5" });
    const events: CloudEvent[] = [pick("plant-a", "T-1"), awkward, delivered("plant-a", awkward, "accepted")];
    picks.append(events.slice(0, 2));
    picks.append(events.slice(2));
    samples.append([sample("plant-a", 1), sample("plant-a", 2)]);
    await plant.send(picks, picks.batch(), { "plantgate-age": "10001" });
    await plant.send(samples, samples.batch(), { "plantgate-age": "10000" });
    const all = await eventually(
      () => lines(central, "limit=50000"),
      (found) => found.length === 5,
    );
    const transactions = all.filter(({ lane }) => lane === "transaction");
    expect(transactions).toEqual(
      events.map((event, index) => ({
        position: expect.any(Number),
        site: "plant-a",
        lane: "transaction",
        epoch: picks.epoch,
        sequence: index + 1,
        recordedAt: expect.stringMatching(/^\d{4}-.*Z$/),
        historical: true,
        event: { ...event, sequence: String(index + 1).padStart(20, "0") },
      })),
    );
    expect(all.filter(({ historical }) => historical === true)).toHaveLength(3);
    expect((await json(central, "limit=5000")).messages).toEqual(all);
    expect(await lines(central, "type=equipment.sampled")).toHaveLength(2);
    expect((await lines(central, "type=mfg.delivery.completed.v1")).map(({ sequence }) => sequence)).toEqual([3]);
    expect(await lines(central, "type=no.such.type")).toEqual([]);
    expect(await lines(central, "lane=telemetry&site=plant-a")).toHaveLength(2);
    expect(await lines(central, "site=nobody")).toEqual([]);
  });

  it("pages through everything once, whatever the page's size, and skips repeats and what was set aside", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await plantWith(central);
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    const inputHash = "a".repeat(64);
    const wanted: number[] = [];
    for (let frame = 0; frame < 4; frame++) {
      lane.append(
        Array.from({ length: 10 }, (_, index) => {
          const sequence = frame * 10 + index + 1;
          if (sequence % 7 === 0) return "not json";
          if (sequence % 5 === 0) return pick("plant-a", "T-again", { inputHash });
          return pick("plant-a", `T-${sequence}`);
        }),
      );
    }
    for (let sequence = 1; sequence <= 40; sequence++)
      if (sequence % 7 !== 0 && (sequence % 5 !== 0 || sequence === 5)) wanted.push(sequence);
    for (const start of lane.starts) await plant.send(lane, lane.batch(start, start + 9));
    await eventually(
      () => json(central, "limit=5000"),
      ({ messages }) => messages.length === wanted.length,
    );
    for (const limit of [1, 3, 10, 11, 5000]) {
      const seen: number[] = [];
      for (let after: number | null = 0; after !== null; ) {
        const page: MessagesAnswer = await json(central, `after=${after}&limit=${limit}`);
        seen.push(...page.messages.map(({ sequence }) => sequence));
        after = page.next;
      }
      expect(seen, `pages of ${limit}`).toEqual(wanted);
      const first = await lines(central, `limit=${limit}`);
      expect(first.map(({ sequence }) => sequence)).toEqual(wanted.slice(0, limit));
    }
    expect((await json(central, "state=repeat&limit=5000")).messages.map(({ sequence }) => sequence)).toEqual([
      10, 15, 20, 25, 30, 40,
    ]);
    expect(await central.admin("GET", "/v1/messages?limit=5001")).toMatchObject({ status: 422 });
    expect(await central.admin("GET", "/v1/messages?limit=50001")).toMatchObject({ status: 422 });
  });

  it("fills no JSON answer beyond sixteen megabytes, and goes on behind it", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await plantWith(central);
    const lane = plant.lane("telemetry");
    await plant.hello([lane]);
    const large = (value: number) => sample("plant-a", value, { id: `${value}` });
    const wide = (value: number) => {
      const event = large(value);
      return { ...event, data: { ...event.data, value: "x".repeat(4000), node: "n".repeat(500) } };
    };
    for (let frame = 0; frame < 5; frame++) lane.append(Array.from({ length: 800 }, (_, index) => wide(frame * 800 + index)));
    await plant.send(lane);
    await eventually(
      () => lines(central, "limit=50000"),
      (found) => found.length === 4000,
    );
    const seen: number[] = [];
    let pages = 0;
    for (let after: number | null = 0; after !== null; pages++) {
      const answer: Response = await fetch(`${central.url}/v1/messages?limit=5000&after=${after}`, {
        headers: { authorization: `Bearer ${central.adminToken}` },
      });
      const text = await answer.text();
      expect(text.length).toBeLessThan(17 * 1024 * 1024);
      const page = JSON.parse(text) as MessagesAnswer;
      seen.push(...page.messages.map(({ sequence }) => sequence));
      after = page.next;
    }
    expect(seen).toEqual(Array.from({ length: 4000 }, (_, index) => index + 1));
    expect(pages).toBe(2);
  });

  it("waits for the next message where there is none, and no longer than it was told to", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await plantWith(central);
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    expect(await lines(central, "waitMs=50")).toEqual([]);
    const next = lines(central, "waitMs=30000");
    lane.append([pick("plant-a", "T-1")]);
    await plant.send(lane);
    expect(await next).toHaveLength(1);
    const later = json(central, `after=${(await next)[0]?.position}&waitMs=30000`);
    lane.append([pick("plant-a", "T-2")]);
    await plant.send(lane, lane.batch(2));
    expect((await later).messages.map(({ sequence }) => sequence)).toEqual([2]);
  });
});
