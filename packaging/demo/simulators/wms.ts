import { createServer, type Socket } from "node:net";
import { Aedes, type AedesPublishPacket, type Client } from "aedes";
import type { Entry, Fact, PickFact } from "./entry.ts";
import { type PickPlan, planPicks } from "./pick-plan.ts";
import { openRecorder } from "./record.ts";
import { type ShopOrder, shopOrder } from "./shop-order.ts";

export interface WmsOptions {
  readonly port: number;
  readonly password: string;
  readonly logFile: string;
  /** Distinguishes transactions and pallets of two plants. */
  readonly plantDigit: number;
  /** From acceptance to the first pick, and between two confirmations. */
  readonly workMs?: number;
  /** All material of the order stands at the line, and the gateway has every confirmation. */
  readonly picked?: (order: ShopOrder, picks: readonly PickFact[]) => void;
}
export interface Wms {
  readonly url: string;
  readonly port: number;
  status(): {
    readonly orders: number;
    readonly repeatedOrders: number;
    readonly sent: number;
    readonly acked: number;
    readonly open: number;
  };
  stop(): Promise<void>;
}

interface Job {
  readonly order: ShopOrder;
  readonly plan: PickPlan;
  next: number;
}
interface Open {
  readonly topic: string;
  readonly payload: string;
  readonly sentAt: number;
  readonly next: () => void;
}

const repeatAfterMs = 15_000;
const resendWindowMs = 60_000;

/**
 * A warehouse system with its own broker. It takes orders on `wms/orders/+`, says yes on `…/ack` and confirms what it picked. A fact leaves only
 * when the one before it of the same order was acknowledged by the gateway's session; one that stays unacknowledged is repeated with the
 * same txn, and after the gateway came back the last minute is sent once more, as such systems do.
 */
export async function startWms(options: WmsOptions): Promise<Wms> {
  const record = await openRecorder<Entry>(options.logFile);
  const broker = await Aedes.createBroker();
  const taken = new Map<string, number>();
  const open = new Map<string, Open>();
  const recent: { topic: string; payload: string; at: number }[] = [];
  const seenClients = new Set<string>();
  const timers = new Set<NodeJS.Timeout>();
  const sockets = new Set<Socket>();
  let counter = 0;
  const counts = { orders: 0, repeatedOrders: 0, sent: 0, acked: 0, jobs: 0 };
  let stopped = false;

  const later = (ms: number, work: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      if (!stopped) work();
    }, ms);
    timers.add(timer);
  };
  const publish = (topic: string, payload: string): void =>
    broker.publish({ cmd: "publish", topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false }, () => {});

  broker.authenticate = (_client, username, password, done) =>
    done(null, username === "gateway" && password?.toString() === options.password);
  broker.on("publish", (packet: AedesPublishPacket, client: Client | null) => {
    if (!client) return;
    const id = /^wms\/orders\/([^/]+)$/.exec(packet.topic)?.[1];
    if (id !== undefined) void takeOrder(id, packet.payload.toString());
  });
  broker.on("ack", (packet, client) => {
    // a broker says `ack` of whatever its own clients acknowledged; an unknown packet id comes without the packet
    const payload = packet && "payload" in packet ? packet.payload?.toString() : undefined;
    const txn = payload === undefined ? undefined : /"txn":"([^"]+)"/.exec(payload)?.[1];
    if (client && txn !== undefined) acknowledged(txn);
  });
  broker.on("subscribe", (_subscriptions, client) => {
    if (!client) return;
    const again = seenClients.has(client.id);
    seenClients.add(client.id);
    if (again) later(1000, resendLastMinute);
  });

  async function takeOrder(id: string, payload: string): Promise<void> {
    const parsed = parse(payload);
    const answer = (yes: boolean, revision: number, reason?: string): void =>
      publish(
        `wms/orders/${id}/ack`,
        JSON.stringify({ order: id, revision, accepted: yes, ...(reason === undefined ? {} : { reason }) }),
      );
    if (!parsed || parsed.order !== id) {
      answer(false, 0, "the order cannot be read");
      return;
    }
    const effect = (taken.get(id) ?? 0) < parsed.revision;
    const first = !taken.has(id);
    if (effect) taken.set(id, parsed.revision);
    counts[effect ? "orders" : "repeatedOrders"] += 1;
    record.note({ kind: "order", at: now(), order: id, revision: parsed.revision, effect });
    await record.sync();
    answer(true, parsed.revision);
    // a new revision of an order that is being picked changes nothing on the pallet
    if (first) {
      counts.jobs += 1;
      const job: Job = { order: parsed, plan: planPicks(parsed, options.plantDigit, () => ++counter), next: 0 };
      later(options.workMs ?? 1500, () => void work(job));
    }
  }

  async function work(job: Job): Promise<void> {
    const fact = job.plan[job.next];
    if (!fact) {
      counts.jobs -= 1;
      options.picked?.(
        job.order,
        job.plan.filter((step) => step.fact === "pick"),
      );
      return;
    }
    record.note({ kind: "sending", at: now(), fact });
    await record.sync();
    job.next += 1;
    counts.sent += 1;
    const { topic, payload } = onWire(fact);
    open.set(fact.txn, { topic, payload, sentAt: Date.now(), next: () => later(options.workMs ?? 1500, () => void work(job)) });
    publish(topic, payload);
  }

  function acknowledged(txn: string): void {
    const waiting = open.get(txn);
    if (!waiting) return;
    open.delete(txn);
    counts.acked += 1;
    record.note({ kind: "acked", at: now(), txn });
    recent.push({ topic: waiting.topic, payload: waiting.payload, at: Date.now() });
    waiting.next();
  }

  function resendLastMinute(): void {
    const since = Date.now() - resendWindowMs;
    while (recent[0] && recent[0].at < since) recent.shift();
    for (const { topic, payload } of recent) publish(topic, payload);
  }

  const repeats = setInterval(() => {
    const before = Date.now() - repeatAfterMs;
    for (const [txn, waiting] of open) {
      if (waiting.sentAt > before) continue;
      open.set(txn, { ...waiting, sentAt: Date.now() });
      publish(waiting.topic, waiting.payload);
    }
  }, 5000);

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    broker.handle(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : options.port;

  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    status: () => ({
      orders: counts.orders,
      repeatedOrders: counts.repeatedOrders,
      sent: counts.sent,
      acked: counts.acked,
      open: counts.jobs,
    }),
    stop: async () => {
      if (stopped) return record.close();
      stopped = true;
      clearInterval(repeats);
      for (const timer of timers) clearTimeout(timer);
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await record.close();
    },
  };
}

function parse(payload: string): ShopOrder | undefined {
  try {
    return shopOrder.safeParse(JSON.parse(payload)).data;
  } catch {
    return undefined;
  }
}

function onWire(fact: Extract<Fact, { fact: "pick" | "shortage" }>): { topic: string; payload: string } {
  if (fact.fact === "shortage") {
    const { txn, order, sku, short, uom } = fact;
    const task = `PK-${txn.slice(2)}`;
    return {
      topic: `wms/shortages/${task}`,
      payload: JSON.stringify({ txn, task, order, sku, short, uom, cause: "empty-bin", at: now() }),
    };
  }
  const { txn, task, order } = fact;
  const lines = fact.lines.map(({ no, sku, lot, qty, uom, sscc }) => ({
    no,
    sku,
    lot,
    qty,
    uom,
    from: `BIN-0${no}-2`,
    to: "LINE-1",
    sscc,
  }));
  const text = JSON.stringify({ txn, task, order, operator: "u17", at: now(), lines });
  // the SSCC as a bare number: it does not fit a JavaScript number, so it is written into the text
  return { topic: `wms/picks/${task}/confirmed`, payload: text.replaceAll(/"sscc":"(\d{18})"/g, '"sscc":$1') };
}

function now(): string {
  return new Date().toISOString();
}
