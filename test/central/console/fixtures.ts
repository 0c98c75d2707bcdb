import type { Hop, OrderMessage, OrdersAnswer, OrderView, SitesAnswer, SiteView } from "../../../central/http/views.ts";

/** Instants relative to now, as central would tell them. */
export function ago(ms: number): string {
  return new Date(Date.now() - ms).toISOString();
}

type LaneView = SiteView["lanes"][number];
type ConnectorView = SiteView["connectors"][number];

export function lane(name: LaneView["lane"], waiting = 0, lagSeconds: number | null = null): LaneView {
  return {
    lane: name,
    epoch: "e1f0a9",
    recorded: 120_400,
    waiting,
    waitingBytes: waiting * 94,
    lagSeconds,
    waitingForProjection: 0,
    summary: "1 to 120,400 recorded; nothing missing",
    stalled: null,
  };
}

export function connector(name: string, kind: string, state: ConnectorView["state"] = "up", reason?: string): ConnectorView {
  return {
    name,
    kind,
    state,
    ...(reason === undefined ? {} : { reason }),
    since: ago(state === "up" ? 9_300_000 : 74_000),
    connects: state === "up" ? 1 : 4,
  };
}

export function site(name: string, changes: Partial<SiteView> = {}): SiteView {
  return {
    name,
    labels: { environment: "prod", region: "eu" },
    condition: "online",
    reason: "heard of 1 s ago",
    lastHeardAt: ago(900),
    leaseEndsAt: ago(-14_000),
    pid: 4711,
    startedAt: ago(9_400_000),
    lanes: [lane("transaction"), lane("bulk"), lane("telemetry", 3, 0.4)],
    deliveries: { waiting: 0, unknown: 0, parked: 0, ofUnknownAge: 0, expired: 0 },
    disk: { state: "ok", freeBytes: 52_000_000_000 },
    alarms: [],
    deadLetters: 0,
    downlinkWaiting: 0,
    desiredRevision: 12,
    reportedRevision: 12,
    configurationState: "active",
    configurationReason: null,
    connectors: [
      connector("wms", "mqtt"),
      connector("press", "opcua"),
      connector("scheduler", "http"),
      connector("floor", "mqtt-broker"),
    ],
    clockSkewMs: 12,
    ...changes,
  };
}

/** A site whose lease is over: its last numbers looked well. */
export function unknownSite(name: string): SiteView {
  return site(name, {
    condition: "unknown",
    reason: "silent for 42 s; its lease ended 27 s ago",
    lastHeardAt: ago(42_000),
    leaseEndsAt: ago(27_000),
  });
}

export function drainingSite(name: string, waiting = 18_432): SiteView {
  return site(name, {
    condition: "draining",
    reason: `${waiting.toLocaleString("en-US")} transactions wait; the backlog shrinks`,
    lanes: [lane("transaction", waiting, 1_284), lane("bulk", 12, 402), lane("telemetry", 412_380, 1_284)],
    deliveries: { waiting: 7, unknown: 1, parked: 0, ofUnknownAge: 3, expired: 2 },
    deadLetters: 2,
    downlinkWaiting: 34,
    reportedRevision: 12,
    desiredRevision: 13,
    configurationState: "applying",
    clockSkewMs: 4_200,
    connectors: [
      connector("wms", "mqtt", "down", "connect ECONNREFUSED 127.0.0.1:1883; trying again in 8 s"),
      connector("press", "opcua"),
      connector("scheduler", "http", "degraded", "the last poll took 9.2 s"),
      connector("floor", "mqtt-broker"),
    ],
  });
}

/** A site that does not drain, with alarms. */
export function alarmedSite(name: string): SiteView {
  return site(name, {
    condition: "stuck",
    reason:
      "connected, but none of 41,300 waiting messages was recorded for 24 s: central answers 503: more of this site waits for projection than one site may have waiting",
    lanes: [
      lane("transaction"),
      {
        ...lane("telemetry", 41_300, 96),
        waitingForProjection: 5_000_400,
        summary: "1 to 48,211 recorded; 3,001–3,400 discarded by budget (age); nothing missing",
      },
    ],
    alarms: [
      {
        kind: "clone",
        severity: "error",
        reason: `a gateway with an older session of ${name} called and was turned away: is a clone of it running?`,
        count: 3,
        firstAt: ago(700_000),
        lastAt: ago(65_000),
      },
      {
        kind: "discarded",
        severity: "warn",
        reason: "3,001 to 3,400 of lane telemetry discarded by budget (age)",
        count: 400,
        firstAt: ago(3_700_000),
        lastAt: ago(3_600_000),
      },
    ],
  });
}

export function sitesAnswer(
  sites: readonly SiteView[],
  rate = { transactionsPerSecond: 42, samplesPerSecond: 1_250 },
): SitesAnswer {
  return { sites, at: new Date().toISOString(), rate };
}

const moId = "hq-mo-42";

/** Hops of one message; each is `[ms after the one before, site, place, kind, what]`. */
export function hops(
  startMs: number,
  steps: readonly (readonly [number, string, string, Hop["kind"], string])[],
): readonly Hop[] {
  let atMs = startMs;
  return steps.map(([afterMs, at, place, kind, what]) => {
    atMs += afterMs;
    return { at: new Date(atMs).toISOString(), site: at, place, kind, what };
  });
}

export function message(
  id: string,
  type: string,
  from: string,
  summary: string,
  way: readonly Hop[],
  data: unknown = { moId },
): OrderMessage {
  const time = way[0]?.at ?? ago(0);
  return {
    id,
    type,
    site: from,
    lane: "transaction",
    epoch: "e1f0a9",
    sequence: 4_200,
    time,
    recordedtime: way[1]?.at ?? time,
    summary,
    data,
    hops: way,
  };
}

export function releasedMessage(startMs: number): OrderMessage {
  return message(
    "01-released",
    "mfg.production-order.released.v1",
    "hq",
    "Released: 100 FG-HSG for lyon, revision 1",
    hops(startMs, [
      [0, "hq", "erp", "happened", "Released by the ERP, revision 1"],
      [412, "hq", "gateway", "recorded", "Recorded by the gateway of hq"],
      [31, "central", "central", "central", "Recorded by central"],
      [8, "central", "central", "routed", "Routed to lyon"],
      [22, "lyon", "gateway", "received", "Received by the gateway of lyon"],
      [14, "lyon", "wms", "delivered", "Sent to the WMS"],
      [6, "lyon", "scheduler", "accepted", "Scheduler took the order"],
      [9, "lyon", "press", "accepted", "Press PRESS-7 took the order"],
      [240, "lyon", "wms", "accepted", "WMS accepted the order"],
    ]),
    {
      moId,
      orderName: "WH/MO/00042",
      revision: 1,
      item: "FG-HSG",
      quantity: { value: "100", unitCode: "C62", scale: 0 },
      warehouse: "LYO",
      priority: 1,
      needBy: "2026-11-27T16:00:00.000Z",
      components: [{ lineNo: 1, item: "RM-ALU", quantity: { value: "12.5", unitCode: "KGM", scale: 1 } }],
      operations: [{ seq: 10, workCentre: "PRESS-7", minutes: 95 }],
    },
  );
}

/** One message of the floor on its way up to the ERP. */
export function reportMessage(index: number, startMs: number, outageMs = 0): OrderMessage {
  const kinds = [
    ["mfg.pick.confirmed.v1", "wms", "Picked 12.5 KGM RM-ALU, lot L-2291"],
    ["mfg.finished-goods.confirmed.v1", "terminal", "50 good pieces of FG-HSG, lot B-117"],
    ["mfg.material.consumed.v1", "terminal", "Consumed 6.25 KGM RM-ALU"],
    ["mfg.scrap.reported.v1", "terminal", "Scrapped 0.4 KGM RM-ALU: burr"],
    ["mfg.shortage.reported.v1", "wms", "2.5 KGM RM-ALU short: empty-bin"],
    ["mfg.schedule.revised.v1", "scheduler", "PRESS-7 planned anew, revision 12"],
  ] as const;
  const [type, from, summary] = kinds[index % kinds.length] ?? kinds[0];
  const outcome = index % 23 === 9 ? "refused" : index % 29 === 12 ? "unknown" : "accepted";
  const words = {
    refused: "ERP refused: the lot is blocked",
    unknown: "Sent to the ERP; nobody can tell whether it arrived",
    accepted: "Booked by the ERP",
  };
  return message(
    `m-${index}`,
    type,
    "lyon",
    summary,
    hops(startMs, [
      [0, "lyon", from, "happened", `${summary} (${from})`],
      [9, "lyon", "gateway", "recorded", "Recorded by the gateway of lyon"],
      [34 + outageMs, "central", "central", "central", "Recorded by central"],
      [7, "central", "central", "routed", "Routed to hq"],
      [19, "hq", "gateway", "received", "Received by the gateway of hq"],
      [310, "hq", "erp", outcome, words[outcome]],
    ]),
    {
      moId,
      txnId: `T-${100_000 + index}`,
      taskId: "PK-7",
      lineNo: 1,
      item: "RM-ALU",
      lot: "L-2291",
      qtyPicked: { value: "12.5", unitCode: "KGM", scale: 1 },
      sscc: "340123450000000018",
      backflush: false,
    },
  );
}

export function orderView(messages: readonly OrderMessage[]): OrderView {
  return { moId, orderName: "WH/MO/00042", plant: "lyon", item: "FG-HSG", quantity: "100 C62", messages, unreadable: [] };
}

/** A released order with `reports` reports; those in the middle fall into an outage of `outageMs`. */
export function orderWithReports(reports: number, outageMs = 0): OrderView {
  const startMs = Date.now() - 3 * 3_600_000;
  const list = [releasedMessage(startMs)];
  for (let index = 0; index < reports; index++) {
    const inOutage = outageMs > 0 && index > reports * 0.4 && index < reports * 0.7;
    const at = startMs + 240_000 + index * 47_000;
    list.push(reportMessage(index, at, inOutage ? startMs + 240_000 + reports * 0.75 * 47_000 + index * 40 - at : 0));
  }
  return orderView(list);
}

export function ordersAnswer(): OrdersAnswer {
  return {
    orders: [
      { moId, orderName: "WH/MO/00042", plant: "lyon", lastAt: ago(60_000), messages: 9 },
      { moId: "hq-mo-43", orderName: "WH/MO/00043", plant: "porto", lastAt: ago(3_600_000), messages: 1 },
    ],
  };
}
