import type { SitesAnswer, SiteView } from "./central-api.ts";
import { plants, type Stage } from "./stage.ts";

/** What the simulated systems say of themselves, added up. */
export interface Tally {
  readonly orders: number;
  readonly accepted: number;
  readonly facts: number;
  readonly samples: number;
  /** Sent or planned, and not yet with a gateway. */
  readonly open: number;
}

export function tallyOf(stage: Stage): Tally {
  const created = Object.values(stage.erpStatus()?.orders ?? {}).reduce((sum, count) => sum + count, 0);
  const tally = { orders: created, accepted: 0, facts: 0, samples: 0, open: 0 };
  for (const { site } of plants) {
    const status = stage.plantStatus(site);
    if (!status) continue;
    tally.accepted += status.wms.orders;
    tally.facts += status.wms.acked + status.terminals.acked + status.scheduler.acked;
    tally.samples += status.devices.acked;
    tally.open += status.wms.open + status.terminals.open + status.scheduler.open + status.devices.open;
  }
  return tally;
}

/** One line for a person: what flows, and how every site is. */
export function describeProgress(tally: Tally, answer: SitesAnswer, since: Date): string {
  const seconds = Math.round((Date.now() - since.getTime()) / 1000);
  const { transactionsPerSecond, samplesPerSecond } = answer.rate;
  const flows = `orders ${tally.orders}  facts ${tally.facts}  samples ${tally.samples}  central ${transactionsPerSecond} msg/s ${samplesPerSecond} samples/s`;
  return `${clock(seconds)}  ${flows}  |  ${answer.sites.map(describeSite).join("  |  ")}`;
}

export function waitingOf(site: SiteView, lane: string): { waiting: number; lagSeconds: number } {
  const found = site.lanes.filter((entry) => entry.lane === lane);
  return {
    waiting: found.reduce((sum, entry) => sum + entry.waiting, 0),
    lagSeconds: Math.max(0, ...found.map((entry) => entry.lagSeconds ?? 0)),
  };
}

function describeSite(site: SiteView): string {
  // what a silent site last said of itself is no news
  if (site.condition === "unknown") return `${site.name} unknown: ${site.reason}`;
  const backlog = site.lanes.reduce((sum, { waiting }) => sum + waiting, 0);
  const parts = [`${site.name} ${site.condition}`, `${backlog} waiting`];
  if (site.configurationState !== "active" && site.configurationState !== "watching")
    parts.push(
      `configuration ${site.configurationState}${site.configurationReason ? `: ${site.configurationReason.slice(0, 200)}` : ""}`,
    );
  if (site.deliveries && site.deliveries.waiting > 0) parts.push(`${site.deliveries.waiting} to deliver`);
  if (site.deliveries && site.deliveries.unknown > 0) parts.push(`${site.deliveries.unknown} unknown`);
  if (site.deadLetters > 0) parts.push(`${site.deadLetters} dead`);
  const ailing = site.connectors.filter(({ state }) => state !== "up");
  if (ailing.length > 0) parts.push(ailing.map(({ name, state }) => `${name} ${state}`).join(", "));
  return parts.join(", ");
}

function clock(seconds: number): string {
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
}
