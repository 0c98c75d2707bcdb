import { createHmac } from "node:crypto";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import type { Entry } from "./entry.ts";
import { openRecorder } from "./record.ts";
import { type ShopOrder, shopOrder } from "./shop-order.ts";

export interface SchedulerOptions {
  readonly port: number;
  /** What callers have to show, and what the webhook is signed with. */
  readonly secret: string;
  /** The gateway's `/in/scheduler/schedule`. */
  readonly webhookUrl: string;
  readonly logFile: string;
  readonly workCentres: readonly string[];
  readonly reviseEveryMs?: number;
}
export interface Scheduler {
  readonly url: string;
  readonly port: number;
  /** The order is done and leaves the plan. */
  done(order: string): void;
  status(): {
    readonly orders: number;
    readonly repeatedOrders: number;
    readonly sent: number;
    readonly acked: number;
    readonly open: number;
  };
  /** No more revisions; those made still go out. */
  quiet(): void;
  stop(): Promise<void>;
}

interface Revision {
  readonly revision: number;
  readonly body: string;
  readonly workCentres: readonly { workCentre: string; orders: string[] }[];
}

const planLength = 30;

/**
 * A production scheduler: takes orders over HTTP, revises its plan every few seconds while orders change, and calls the gateway's webhook, revision after
 * revision, until each was taken. `GET /schedule?after=N` answers the first revision after N, so that a poll sees them in the same order.
 */
export async function startScheduler(options: SchedulerOptions): Promise<Scheduler> {
  const record = await openRecorder<Entry>(options.logFile);
  const orders = new Map<string, ShopOrder>();
  const keys = new Map<string, string>();
  const revisions: Revision[] = [];
  const counts = { orders: 0, repeatedOrders: 0, sent: 0, acked: 0 };
  const ending = new AbortController();
  let changed = false;
  let taken = 0;

  const app = new Hono();
  app.get("/health", (c) => c.json({ status: "ok" }));
  app.use("*", async (c, next) => {
    if (c.req.header("authorization") !== `Bearer ${options.secret}`) return c.json({ error: "unauthorized" }, 401);
    await next();
  });
  app.post("/orders", async (c) => {
    const order = shopOrder.safeParse(await c.req.json().catch(() => undefined));
    if (!order.success) return c.json({ error: "the order cannot be read" }, 422);
    const { order: id, revision } = order.data;
    const key = c.req.header("idempotency-key") ?? `${id}/${revision}`;
    const effect = !keys.has(key);
    keys.set(key, id);
    counts[effect ? "orders" : "repeatedOrders"] += 1;
    record.note({ kind: "order", at: new Date().toISOString(), order: id, revision, effect });
    await record.sync();
    if (effect) {
      orders.set(id, order.data);
      changed = true;
    }
    return c.body(null, 202);
  });
  app.get("/schedule", (c) => {
    const after = Number(c.req.query("after") ?? 0);
    // what the webhook was not yet called with is not yet published
    const found = revisions.find(({ revision }) => revision > after && revision <= taken + 1);
    return found ? c.body(found.body, 200, { "content-type": "application/json" }) : c.body(null, 204);
  });

  const server = await new Promise<ReturnType<typeof serve>>((resolve, reject) => {
    const listening = serve({ fetch: app.fetch, port: options.port, hostname: "127.0.0.1" }, () => resolve(listening));
    listening.once("error", reject);
  });
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : options.port;

  const revise = (): void => {
    if (!changed || orders.size === 0) return;
    changed = false;
    const next = makeRevision(revisions.length + 1, [...orders.values()].slice(0, planLength), options.workCentres);
    revisions.push(next);
  };
  const timer = setInterval(revise, options.reviseEveryMs ?? 4000);

  const deliver = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const next = revisions[taken];
      if (!next) {
        await pause(200, ending.signal);
        continue;
      }
      const txn = `R-${next.revision}`;
      record.note({
        kind: "sending",
        at: new Date().toISOString(),
        fact: { fact: "schedule", txn, revision: next.revision, workCentres: [...next.workCentres] },
      });
      await record.sync();
      counts.sent += 1;
      while (!ending.signal.aborted && !(await call(options, next.body, ending.signal))) await pause(1000, ending.signal);
      if (ending.signal.aborted) return;
      taken += 1;
      counts.acked += 1;
      record.note({ kind: "acked", at: new Date().toISOString(), txn });
    }
  };
  const delivering = deliver();

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    done: (order) => {
      changed = orders.delete(order) || changed;
    },
    status: () => ({ ...counts, open: revisions.length - taken }),
    quiet: () => clearInterval(timer),
    stop: async () => {
      clearInterval(timer);
      ending.abort();
      await delivering;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      });
      await record.close();
    },
  };
}

function makeRevision(revision: number, orders: readonly ShopOrder[], workCentres: readonly string[]): Revision {
  const start = Date.now();
  const entries = orders.map(({ order }, index) => {
    const workCentre = workCentres[index % workCentres.length] ?? "PRESS-7";
    const from = start + Math.floor(index / workCentres.length) * 600_000;
    return {
      order,
      op: 10,
      workCentre,
      start: new Date(from).toISOString(),
      end: new Date(from + 600_000).toISOString(),
      seq: index + 1,
    };
  });
  const body = {
    revision,
    frozenUntil: new Date(start + 3_600_000).toISOString(),
    basedOn: new Date(start).toISOString(),
    entries,
  };
  const plans = workCentres
    .map((workCentre) => ({
      workCentre,
      orders: entries.filter((entry) => entry.workCentre === workCentre).map(({ order }) => order),
    }))
    .filter((plan) => plan.orders.length > 0);
  return { revision, body: JSON.stringify(body), workCentres: plans };
}

async function call({ webhookUrl, secret }: SchedulerOptions, body: string, signal: AbortSignal): Promise<boolean> {
  try {
    const answer = await fetch(webhookUrl, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-signature": `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`,
      },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
    });
    await answer.arrayBuffer();
    return answer.status === 202;
  } catch {
    return false;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
