import type { CentralNode } from "../plant/central-node.ts";
import type { Judge, Recorded } from "./judge.ts";

interface Page {
  readonly messages: readonly Recorded[];
  readonly next: number | null;
}
interface Sites {
  readonly sites: readonly { readonly name: string; readonly lanes: readonly { readonly waiting: number }[] }[];
}

export interface DrainOptions {
  /** Gives up when nothing new came for so long. */
  readonly stalledMs: number;
  readonly sites: readonly string[];
  /** Some of what was acknowledged will never come. */
  readonly expectLosses?: boolean;
}

const pageMessages = 5000;
const pauseMs = 300;
const quietMs = 5000;

/** Gives the judge what the ledger holds behind `after`; resolves with the last position read. */
export async function readLedger(central: CentralNode, judge: Judge, after = 0): Promise<number> {
  let last = after;
  for (;;) {
    const page = await central.get<Page>(`/v1/messages?after=${last}&limit=${pageMessages}`);
    for (const message of page.messages) {
      judge.take(message);
      last = message.position;
    }
    if (page.messages.length === 0 || page.next === null) return last;
  }
}

/**
 * Reads the ledger until it holds everything that was acknowledged and the gateways say that nothing waits; gives up when nothing new
 * came for `stalledMs`. Failed reads (central is starting) are tried again.
 */
export async function drain(central: CentralNode, judge: Judge, options: DrainOptions): Promise<boolean> {
  let last = 0;
  let movedAt = performance.now();
  let quiet = 0;
  while (performance.now() - movedAt < options.stalledMs) {
    const before = last;
    const waiting = await Promise.resolve()
      .then(async () => {
        last = await readLedger(central, judge, last);
        return await waitingOf(central, options.sites);
      })
      .catch(() => Number.NaN);
    if (last > before) movedAt = performance.now();
    quiet = waiting === 0 && last === before ? quiet + 1 : 0;
    // a report of the gateway comes every two seconds: an older one may not know of the last messages
    if (quiet * pauseMs >= quietMs && (options.expectLosses || judge.missing().size === 0)) return true;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return false;
}

async function waitingOf(central: CentralNode, sites: readonly string[]): Promise<number> {
  const answer = await central.get<Sites>("/v1/sites");
  return answer.sites
    .filter(({ name }) => sites.includes(name))
    .flatMap(({ lanes }) => lanes)
    .reduce((sum, { waiting }) => sum + waiting, 0);
}
