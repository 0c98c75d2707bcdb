import { createHash } from "node:crypto";
import {
  backoff,
  type Clock,
  cloudEvent,
  type DownlinkAnswer,
  describeError,
  downlinkAnswer,
  PlantgateError,
} from "../../protocol/index.ts";
import type { NewMessage } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { encodeHandedDown } from "./handed-down.ts";
import type { Session } from "./session.ts";

export interface DownlinkDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly session: Session;
  readonly clock: Clock;
  readonly log: Logger;
  /** The desired revision that the configuration agent knows. */
  readonly knownRevision: () => number;
  readonly onDesired: (revision: number) => void;
}

const cursorName = "downlink";
const waitMs = 20_000;

/**
 * Long poll for what central has for this site. Messages and the position up to which they were taken are one transaction; the next poll
 * acknowledges only what that flushed, so a lost answer repeats nothing and loses nothing.
 */
export async function runDownlink(deps: DownlinkDeps, signal: AbortSignal): Promise<void> {
  const { session, clock, log } = deps;
  let delays = backoff({ baseMs: 300, capMs: 10_000 });
  let position = parsePosition(await deps.queue.cursor(cursorName));
  while (!signal.aborted) {
    const online = await session.online(signal);
    if (!online) return;
    try {
      const answer = await session.send(
        online.session,
        {
          method: "POST",
          path: `/v1/sites/${encodeURIComponent(deps.site)}/downlink`,
          json: { session: online.session, ack: position, knownRevision: deps.knownRevision(), waitMs },
          silenceMs: waitMs + 10_000,
        },
        signal,
      );
      if (answer.kind === "problem") throw new PlantgateError("PEER_BUSY", answer.problem.detail ?? answer.problem.title);
      const parsed = downlinkAnswer.safeParse(answer.body);
      if (!parsed.success)
        throw new PlantgateError("PEER_UNREACHABLE", "central's answer to the downlink poll was not understood");
      // known before the messages are: they may be for flows that only the desired revision has
      if (parsed.data.desired.revision !== deps.knownRevision()) deps.onDesired(parsed.data.desired.revision);
      position = await record(deps, position, parsed.data);
      delays = backoff({ baseMs: 300, capMs: 10_000 });
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof PlantgateError) || error.disposition === "crash") throw error;
      log.debug({ event: "downlink.poll.failed", reason: describeError(error) }, "poll failed");
      await clock.sleep(delays.next().value, signal);
    }
  }
}

interface Position {
  readonly epoch?: string;
  readonly sequence: number;
}

async function record(deps: DownlinkDeps, position: Position, answer: DownlinkAnswer): Promise<Position> {
  // another epoch: central counts anew
  const known = answer.epoch === position.epoch ? position.sequence : 0;
  const messages: NewMessage[] = [];
  const deadLetters = [];
  let sequence = known;
  const inputs: Uint8Array[] = [];
  const centralAt = deps.session.centralNow();
  for (const { sequence: at, event, waitedMs, again = false } of answer.messages) {
    if (at <= sequence) continue;
    sequence = at;
    const valid = cloudEvent.safeParse(event);
    if (valid.success) {
      const { source, id } = valid.data;
      const line = JSON.stringify(valid.data);
      // a restored central routes again what it routed before its backup: the same event is taken once (CloudEvents 1.0, 3.1.1)
      const repeat = { key: `central\n${source}\n${id}`, hash: createHash("sha256").update(line).digest("hex") };
      messages.push({ lane: "inbound", line, input: inputs.length, repeat });
      inputs.push(encodeHandedDown({ waitedMs, again, ...(centralAt === undefined ? {} : { centralAt }) }));
    } else {
      deadLetters.push({
        id: crypto.randomUUID(),
        at: deps.clock.now(),
        direction: "in",
        connector: "central",
        place: `downlink ${at}`,
        code: "INPUT_INVALID",
        reason: "central sent something that is not an event",
        body: Buffer.from(JSON.stringify(event)),
        attempts: 0,
      } as const);
    }
  }
  const next = { epoch: answer.epoch, sequence };
  if (sequence === known && answer.epoch === position.epoch) return next;
  const from = { connector: "central", place: "downlink", receivedAt: deps.clock.now() };
  const cursors = [{ name: cursorName, value: JSON.stringify(next) }];
  await deps.queue.commit({ messages, inputs, deadLetters, cursors, from });
  return next;
}

function parsePosition(stored: string | undefined): Position {
  return stored === undefined ? { sequence: 0 } : (JSON.parse(stored) as Position);
}
