import { Decimal } from "decimal.js";
import type { Entry, Fact, PickFact } from "./entry.ts";
import { Outbox } from "./outbox.ts";
import { halves, numberOf } from "./quantities.ts";
import { openRecorder } from "./record.ts";
import type { ShopOrder } from "./shop-order.ts";

export interface TerminalOptions {
  readonly brokerUrl: string;
  readonly username: string;
  readonly password: string;
  readonly lines: readonly string[];
  readonly logFile: string;
  /** Distinguishes transactions of two plants. */
  readonly plantDigit: number;
  /** From material at the line to the first report, and between two reports. */
  readonly workMs?: number;
  /** The gateway has the last report of the order. */
  readonly completed?: (order: string) => void;
}
export interface Terminals {
  /** Material for the order stands at the line. */
  picked(order: ShopOrder, picks: readonly PickFact[]): void;
  status(): { readonly sent: number; readonly acked: number; readonly open: number };
  stop(): Promise<void>;
}

type Report = Extract<Fact, { fact: "finished" | "scrap" }>;

/**
 * One terminal per line, an MQTT 3.1.1 client of the gateway's own broker: good pieces at QoS 2 (a part, then the rest as final), scrap at
 * QoS 1. What the gateway did not acknowledge stays at the terminal and goes out again, first in line.
 */
export async function startTerminals(options: TerminalOptions): Promise<Terminals> {
  const record = await openRecorder<Entry>(options.logFile);
  const workMs = options.workMs ?? 1500;
  const outboxes = options.lines.map(
    (line) =>
      new Outbox({
        url: options.brokerUrl,
        clientId: `terminal-${line}`,
        username: options.username,
        password: options.password,
      }),
  );
  const timers = new Set<NodeJS.Timeout>();
  const counts = { sent: 0, acked: 0, open: 0 };
  let counter = 0;
  let stopped = false;
  for (const outbox of outboxes) outbox.start();

  const later = (ms: number, work: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      if (!stopped) work();
    }, ms);
    timers.add(timer);
  };

  const send = (line: number, report: Report): void => {
    counts.open += 1;
    const { fact, ...body } = report;
    const scrap = fact === "scrap" ? { reason: "burr" } : {};
    outboxes[line]?.add({
      topic: `floor/${options.lines[line]}/${fact}`,
      payload: JSON.stringify({ ...body, ...scrap, at: new Date().toISOString() }),
      qos: fact === "finished" ? 2 : 1,
      sending: () => {
        counts.sent += 1;
        record.note({ kind: "sending", at: new Date().toISOString(), fact: report });
        return record.sync();
      },
      acked: () => {
        counts.acked += 1;
        counts.open -= 1;
        record.note({ kind: "acked", at: new Date().toISOString(), txn: report.txn });
        if (fact === "finished" && report.final) options.completed?.(report.order);
      },
    });
  };

  return {
    picked: (order, picks) => {
      const line = numberOf(order.order) % options.lines.length;
      const reports = planReports(order, picks, options.plantDigit, () => ++counter);
      counts.open += 1;
      reports.forEach((report, index) => {
        later(workMs * (index + 1), () => {
          if (index === reports.length - 1) counts.open -= 1;
          send(line, report);
        });
      });
    },
    status: () => ({ ...counts }),
    stop: async () => {
      stopped = true;
      for (const timer of timers) clearTimeout(timer);
      await Promise.all(outboxes.map((outbox) => outbox.stop()));
      await record.close();
    },
  };
}

/** A part, now and then scrap, then the rest as final; what was picked is consumed in the same parts. */
export function planReports(
  order: ShopOrder,
  picks: readonly PickFact[],
  plantDigit: number,
  next: () => number,
): readonly Report[] {
  const n = numberOf(order.order);
  const txn = (prefix: string): string => `${prefix}-${plantDigit}${String(next()).padStart(5, "0")}`;
  const [part, rest] = halves(order.qty, order.uom);
  const shares: { item: string; lot: string; qty: string; uom: string }[][] = [[], []];
  for (const { sku, lot, qty, uom } of picks.flatMap((pick) => pick.lines)) {
    const [first, second] = rest === undefined ? [qty, undefined] : halves(qty, uom);
    shares[0]?.push({ item: sku, lot, qty: first, uom });
    if (second !== undefined) shares[1]?.push({ item: sku, lot, qty: second, uom });
  }
  // what was scrapped is not there to be consumed: the rest takes less of it
  const scrapped = n % 3 === 0 ? takeScrap(shares[1] ?? []) : undefined;
  const numbered = (share: number) => (shares[share] ?? []).map((line, index) => ({ no: index + 1, ...line }));
  const lot = `B-${plantDigit}${n}`;
  const base = { fact: "finished", order: order.order, item: order.item, lot, uom: order.uom } as const;
  const reports: Report[] = [{ ...base, txn: txn("F"), good: part, final: rest === undefined, consumed: numbered(0) }];
  if (scrapped) reports.push({ fact: "scrap", txn: txn("S"), order: order.order, ...scrapped });
  if (rest !== undefined) reports.push({ ...base, txn: txn("F"), good: rest, final: true, consumed: numbered(1) });
  return reports;
}

/** Takes a little of the first line that has more than that. */
function takeScrap(lines: { item: string; lot: string; qty: string; uom: string }[]): (typeof lines)[number] | undefined {
  const line = lines.find(({ qty, uom }) => new Decimal(qty).gt(scrapOf(uom)));
  if (!line) return undefined;
  const qty = scrapOf(line.uom);
  line.qty = new Decimal(line.qty).minus(qty).toFixed();
  return { ...line, qty };
}

function scrapOf(uom: string): string {
  return uom === "C62" ? "1" : "0.04";
}
