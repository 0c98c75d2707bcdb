import type { CentralNode } from "../plant/central-node.ts";
import type { Judge, Recorded } from "./judge.ts";

interface Page {
  readonly messages: readonly Recorded[];
  readonly next: number | null;
}

export interface DrainOptions {
  /** Gives up when nothing new came for so long. */
  readonly stalledMs: number;
  /** Whether the gateways said, since the load ended, that nothing waits. */
  readonly isIdle: () => boolean;
  /** Some of what was acknowledged will never come. */
  readonly expectLosses?: boolean;
}

const pageMessages = 5000;
const pauseMs = 300;
/** What central has acknowledged may take so long to be readable. */
const quietMs = 900;

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
    const idle = options.isIdle();
    const read = await readLedger(central, judge, last).then(
      (position) => {
        last = position;
        return true;
      },
      () => false,
    );
    if (last > before) movedAt = performance.now();
    quiet = idle && read && last === before ? quiet + 1 : 0;
    if (quiet * pauseMs >= quietMs && (options.expectLosses || judge.missing().size === 0)) return true;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return false;
}
