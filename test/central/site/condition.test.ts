import { subscribe } from "node:diagnostics_channel";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import type { SitesAnswer } from "../../../central/http/views.ts";
import { judgeCondition, type SiteFacts } from "../../../central/site/condition.ts";
import type { StatusReport } from "../../../protocol/index.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { pick, sample } from "../../support/messages.ts";
import { storages } from "../../support/storages.ts";

const now = Date.parse("2026-01-31T08:00:00.000Z");
const facts: SiteFacts = {
  now,
  leaseMs: 15_000,
  revokedAt: null,
  lastHeardAt: now - 1000,
  fencedAt: null,
  status: null,
  backlogUnmovedSince: undefined,
};

function status(lane: Partial<StatusReport["lanes"][number]>): StatusReport {
  return {
    session: "s",
    sentAt: new Date(now).toISOString(),
    startedAt: new Date(now - 60_000).toISOString(),
    pid: 1,
    gatewayVersion: "test",
    lanes: [{ lane: "telemetry", epoch: "e", last: 100, acknowledged: 100, waitingBytes: 0, ...lane }],
    disk: { state: "ok", freeBytes: 1e9 },
    deliveries: { waiting: 0, unknown: 0, parked: 0, stale: 0 },
    deadLetters: 0,
    repeats: 0,
    configuration: { reported: 0, state: "none" },
    connectors: [],
  };
}
const backlog = status({ acknowledged: 10, oldestAt: new Date(now - 60_000).toISOString() });

describe("a site", () => {
  it.each([
    ["new while it was never heard", { lastHeardAt: null }, "new"],
    ["online within its lease with nothing waiting", {}, "online"],
    [
      "online with a batch on its way",
      { status: status({ acknowledged: 90, oldestAt: new Date(now - 1000).toISOString() }) },
      "online",
    ],
    ["draining while a backlog moves", { status: backlog, backlogUnmovedSince: now - 2000 }, "draining"],
    ["stuck when nothing of its backlog was recorded for 20 s", { status: backlog, backlogUnmovedSince: now - 20_000 }, "stuck"],
    [
      "unknown when silent longer than its lease, whatever it said before",
      { status: backlog, lastHeardAt: now - 15_001, backlogUnmovedSince: now - 60_000 },
      "unknown",
    ],
    ["fenced when a second gateway was turned away", { fencedAt: now - 60_000 }, "fenced"],
    ["revoked before anything else", { revokedAt: now, lastHeardAt: null }, "revoked"],
  ] as const)("is %s", (_, change, condition) => {
    expect(judgeCondition({ ...facts, ...change } as SiteFacts).condition).toBe(condition);
  });

  it("says why nothing gets through, in its gateway's words", () => {
    const told = status({ acknowledged: 10, stalled: "central answers 503: its disk is full" });
    const judged = judgeCondition({ ...facts, status: told, backlogUnmovedSince: now - 21_000 });
    expect(judged).toEqual({
      condition: "stuck",
      reason: "connected, but none of 90 waiting messages was recorded for 21 s: central answers 503: its disk is full",
    });
  });

  it("says what needs a person beside the link: a full disk, deliveries that nobody makes any more", () => {
    const told: StatusReport = {
      ...status({}),
      disk: { state: "bulk-refused", freeBytes: 0 },
      deliveries: { waiting: 0, unknown: 1, parked: 2, stale: 3 },
    };
    const { condition, reason } = judgeCondition({ ...facts, status: told });
    expect(condition).toBe("online");
    for (const part of [
      "its disk is full: bulk data is refused",
      "2 deliveries parked",
      "1 delivery of unknown outcome",
      "3 deliveries of unknown age",
    ])
      expect(reason).toContain(part);
  });

  it("says which configuration its gateway does not run, and why", () => {
    const told = (configuration: StatusReport["configuration"]): string =>
      judgeCondition({ ...facts, status: { ...status({}), configuration } }).reason;
    const refused = { revision: 2 };
    expect(told({ reported: 1, state: "refused", reason: "no such secret", refused })).toContain(
      "its gateway refuses revision 2: no such secret",
    );
    const reason = 'revision 2 was rolled back: the connector "wms", which it changed, is down';
    expect(told({ reported: 1, state: "rolled-back", reason, refused })).toContain(reason);
    for (const state of ["active", "watching", "applying"] as const)
      expect(told({ reported: 2, state })).toBe(told({ reported: 2, state: "active" }));
  });

  it("says for how long it has been silent", () => {
    expect(judgeCondition({ ...facts, lastHeardAt: now - 42_000 }).reason).toBe("silent for 42 s; its lease ended 27 s ago");
  });
});

describe.each(await storages())("on %s", (storage) => {
  describe("the overview", () => {
    it("shows what a gateway says of itself beside what central recorded, and forgets neither over a restart", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await central.addSite("plant-a");
      const sites = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites;
      expect(await sites()).toMatchObject([{ name: "plant-a", condition: "new", lastHeardAt: null, lanes: [] }]);
      const lane = plant.lane("telemetry");
      await plant.hello([lane]);
      lane.append([sample("plant-a", 1), sample("plant-a", 2)]);
      await plant.send(lane);
      const oldestAt = new Date(Date.now() - 60_000).toISOString();
      const lanes = [{ lane: "telemetry", epoch: lane.epoch, last: 10, acknowledged: 2, oldestAt, waitingBytes: 4000 }];
      await plant.status({ lanes, deadLetters: 3, configuration: { reported: 0, state: "refused", reason: "no such secret" } });
      const expected = {
        condition: "draining",
        pid: 4711,
        deadLetters: 3,
        configurationState: "refused",
        configurationReason: "no such secret",
        lanes: [{ lane: "telemetry", epoch: lane.epoch, recorded: 2, waiting: 8, waitingBytes: 4000 }],
      };
      const [seen] = await sites();
      expect(seen).toMatchObject(expected);
      expect(seen?.lanes[0]?.lagSeconds).toBeGreaterThanOrEqual(60);
      await central.restart();
      expect(await sites()).toMatchObject([expected]);
    });

    it("P10: shows how far a gateway's clock is from its own", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await central.addSite("plant-a");
      await plant.hello();
      const skew = async (sentAt: number) => {
        await plant.status({ sentAt: new Date(sentAt).toISOString() });
        return (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0]?.clockSkewMs;
      };
      expect(await skew(Date.now() - 3_600_000)).toBeGreaterThanOrEqual(3_600_000);
      expect(await skew(Date.UTC(1970, 0, 2))).toBeGreaterThan(50 * 365 * 86_400_000);
      expect(await skew(Date.now() + 3_600_000)).toBeLessThan(0);
    });

    it("calls a silent gateway unknown once its lease is over, and online again with its next call", async () => {
      const clock = settableClock();
      await using central = await startTestCentral({ storage, leaseSeconds: 60, parts: { clock } });
      const plant = await central.addSite("plant-a");
      const condition = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0]?.condition;
      await plant.hello();
      expect(await condition()).toBe("online");
      clock.pass(61_000);
      await eventually(condition, (seen) => seen === "unknown");
      await plant.status();
      expect(await condition()).toBe("online");
    });

    it("P11: calls a gateway stuck of whose backlog nothing is recorded from one report to the next", async () => {
      const clock = settableClock();
      await using central = await startTestCentral({ storage, leaseSeconds: 60, parts: { clock } });
      const plant = await central.addSite("plant-a");
      const lane = plant.lane("transaction");
      await plant.hello([lane]);
      const lanes = [{ lane: "transaction", epoch: lane.epoch, last: 5, acknowledged: 0, waitingBytes: 4000 }];
      const reported = async () => {
        await plant.status({ lanes });
        return (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0]?.condition;
      };
      expect(await reported()).not.toBe("stuck");
      clock.pass(15_000);
      expect(await reported()).not.toBe("stuck");
      clock.pass(10_000);
      expect(await reported()).toBe("stuck");
    });

    it("shows that a clone was turned away, but no restart of the same gateway", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await central.addSite("plant-a");
      const condition = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0]?.condition;
      await plant.hello([], "boot-1");
      const first = plant.session;
      await plant.hello([], "boot-1");
      expect((await plant.status({ session: first })).body.code).toBe("session-unknown");
      expect(await condition()).toBe("online");
      await plant.hello([], "boot-2");
      expect((await plant.status({ session: first })).body.code).toBe("fenced");
      expect(await condition()).toBe("fenced");
    });

    it("takes what a gateway had under way when it died for no clone", async () => {
      const clock = settableClock();
      await using central = await startTestCentral({ storage, parts: { clock } });
      const plant = await central.addSite("plant-a");
      const site = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0];
      const lane = plant.lane("transaction");
      await plant.hello([lane], "boot-1");
      const died = plant.session;
      for (const txn of ["T-1", "T-2", "T-3"]) lane.append([pick("plant-a", txn)]);
      // behind its predecessor, which never comes; the same gateway is there again before its time is up
      clock.hold();
      const arrived = new Promise<void>((resolve) => subscribe("http.server.request.start", () => resolve()));
      const waiting = plant.send(lane, lane.batch(3));
      await arrived;
      await plant.hello([lane], "boot-2");
      expect((await waiting).body.code).toBe("fenced");
      // and one that lay in a socket whose process was gone before it was read
      const port = Number(new URL(central.url).port);
      const socket = connect({ host: "127.0.0.1", port });
      const body = JSON.stringify({ session: died, ack: { sequence: 0 }, knownRevision: 0, waitMs: 0 });
      const head = [
        "POST /v1/sites/plant-a/downlink HTTP/1.1",
        "host: central",
        `authorization: Bearer ${await plant.token()}`,
        "content-type: application/json",
        `content-length: ${body.length}`,
      ];
      const answered = new Promise<string>((resolve) => {
        let text = "";
        socket.setEncoding("utf8").on("data", (part) => {
          text += part;
        });
        socket.on("close", () => resolve(text));
      });
      socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
      await answered;
      expect(await site()).toMatchObject({ condition: "online", alarms: [] });
    });
  });
});
