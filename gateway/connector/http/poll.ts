import { backoff, type Clock, describeError, durationMs, hasDisposition } from "../../../protocol/index.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Inlet, Wiring } from "../connector.ts";
import { isStop } from "../mqtt/intake-line.ts";
import type { Peer } from "./peer.ts";
import { pollOf, type Standing } from "./standing.ts";

export interface PollDeps {
  readonly peer: Peer;
  readonly inlet: Inlet;
  readonly standing: Standing;
  readonly clock: Clock;
  readonly log: Logger;
}

type Step = "again" | "wait" | "back-off" | "end";

/** Answers that are asked for without a pause. */
const maxPages = 100;

/**
 * Asks a peer what is new, for one flow: each `every` one round of pages, until a page brings nothing new, or the cursor stays. A cursor
 * that always moves, as the peer's time does, asks no more often than that. The cursor that the next question carries is computed from the answer by the flow and
 * flushed with the messages (rule 18), so it is read back after each answer and kept nowhere else.
 */
export async function runPoll(poll: Wiring["polls"][number], deps: PollDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  const everyMs = durationMs(poll.every);
  const fresh = () => backoff({ baseMs: Math.min(everyMs, 1000), capMs: Math.max(everyMs, 60_000) });
  let delays = fresh();
  const rejected = new Rejected();
  let pages = 0;
  while (!signal.aborted) {
    let step: Step;
    try {
      step = await pollOnce(poll, deps, rejected, signal);
    } catch (error) {
      if (isStop(error)) return;
      const reason = `poll of ${poll.flow}: ${describeError(error)}`;
      if (hasDisposition(error, "shed"))
        deps.standing.degraded(pollOf(poll.flow), "the queue is full: polling waits until there is room");
      else {
        deps.standing.degraded(pollOf(poll.flow), reason);
        log.error({ event: "http.poll.failed", flow: poll.flow, reason }, "an answer could not be kept, it is asked for again");
      }
      step = "back-off";
    }
    if (step === "end") return;
    if (step !== "back-off") delays = fresh();
    pages = step === "again" ? pages + 1 : 0;
    if (pages === maxPages) {
      pages = 0;
      step = "wait";
    }
    if (step !== "again") await clock.sleep(step === "wait" ? everyMs : delays.next().value, signal);
  }
}

async function pollOnce(poll: Wiring["polls"][number], deps: PollDeps, rejected: Rejected, signal: AbortSignal): Promise<Step> {
  const { peer, inlet, standing, clock } = deps;
  const name = `poll/${poll.flow}`;
  const cursor = (await inlet.cursor(name)) ?? poll.start;
  const path = poll.poll.replaceAll("{cursor}", encodeURIComponent(cursor));
  const exchange = await peer.ask({ method: "GET", path, headers: { accept: "application/json" } }, signal);
  if (signal.aborted) return "end";
  if (exchange.kind === "failed") {
    const reason = `poll of ${poll.flow}: ${exchange.reason}`;
    // one question that is not answered may be what the peer does not get through; deliveries tell by themselves
    if (exchange.sent) standing.degraded(pollOf(poll.flow), reason);
    else standing.down(pollOf(poll.flow), reason);
    return "back-off";
  }
  if (exchange.status === 204 || exchange.status === 304) {
    standing.ok(pollOf(poll.flow));
    return "wait";
  }
  if (exchange.status !== 200) {
    standing.degraded(pollOf(poll.flow), `poll of ${poll.flow}: HTTP ${exchange.status}`);
    return "back-off";
  }
  if (rejected.same(cursor, exchange.body)) return "wait";
  const receipt = await inlet.accept([
    { origin: { kind: "poll", flow: poll.flow }, body: exchange.body, receivedAt: clock.now() },
  ]);
  const next = (await inlet.cursor(name)) ?? poll.start;
  if (receipt.deadLetterIds.length > 0 && next === cursor) {
    // the same question would get the same answer, and a dead letter each time
    rejected.note(cursor, exchange.body);
    standing.degraded(pollOf(poll.flow), `poll of ${poll.flow}: the answer could not be used and is a dead letter`);
    return "wait";
  }
  standing.ok(pollOf(poll.flow));
  const isNews = receipt.recorded > 0 || receipt.deadLetterIds.length > 0;
  return isNews && next !== cursor ? "again" : "wait";
}

/** The last answer that could not be used. */
class Rejected {
  #cursor: string | undefined;
  #body: Uint8Array | undefined;

  note(cursor: string, body: Uint8Array): void {
    this.#cursor = cursor;
    this.#body = body;
  }

  same(cursor: string, body: Uint8Array): boolean {
    return this.#body !== undefined && this.#cursor === cursor && Buffer.compare(this.#body, body) === 0;
  }
}
