import { createHash } from "node:crypto";
import { z } from "zod";
import { backoff, type Clock, describeError, PlantgateError, parseJson } from "../../protocol/index.ts";
import type { NewMessage } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type ParsedDownlink, parseDownlink } from "./downlink-answer.ts";
import { encodeHandedDown } from "./handed-down.ts";
import { askedToWaitMs, isAnswered } from "./pauses.ts";
import type { LinkProgress } from "./progress.ts";
import type { Session } from "./session.ts";
import type { LinkAnswer } from "./transport.ts";

export interface DownlinkDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly session: Session;
  readonly progress: LinkProgress;
  readonly clock: Clock;
  readonly log: Logger;
  /** The desired revision that the configuration agent knows. */
  readonly knownRevision: () => number;
  /** The set of secrets that is held, or on its way. */
  readonly knownSecrets: () => string;
  /** The attempt at an upgrade that is known as wanted; undefined: this gateway cannot be upgraded from the centre. */
  readonly knownRelease?: () => string | undefined;
  /** What each answer says that central wants. */
  readonly onDesired: (desired: ParsedDownlink["desired"]) => void;
  /** What it asks of the gateway besides; again in each answer until it was answered. */
  readonly onAsks: (asks: ParsedDownlink["asks"]) => void;
}

const cursorName = "downlink";
const pollMs = 20_000;

/**
 * Long poll for what central has for this site. Messages and the position up to which they were taken are one transaction; the next poll
 * acknowledges only what that flushed, so a lost answer repeats nothing and loses nothing.
 */
export async function runDownlink(deps: DownlinkDeps, signal: AbortSignal): Promise<void> {
  const { session, clock, log, progress } = deps;
  let delays = backoff({ baseMs: 300, capMs: 10_000 });
  let told: string | undefined;
  let position = parsePosition(await deps.queue.cursor(cursorName));
  while (!signal.aborted) {
    if (session.state.kind !== "online") progress.away("downlink");
    const online = await session.online(signal);
    progress.back("downlink");
    if (!online) return;
    const knownRelease = deps.knownRelease?.();
    const known = {
      ...{ knownRevision: deps.knownRevision(), knownSecrets: deps.knownSecrets() },
      ...(knownRelease === undefined ? {} : { knownRelease }),
    };
    try {
      const answer = await session.send(
        online.session,
        {
          method: "POST",
          path: `/v1/sites/${encodeURIComponent(deps.site)}/downlink`,
          json: { session: online.session, ack: position, ...known, waitMs: pollMs },
          silenceMs: pollMs + 10_000,
        },
        signal,
      );
      const handed = understood(answer);
      // known before the messages are: they may be for flows that only the desired revision has
      deps.onDesired(handed.desired);
      deps.onAsks(handed.asks);
      position = await record(deps, position, handed);
      delays = backoff({ baseMs: 300, capMs: 10_000 });
      if (told !== undefined) log.info({ event: "downlink.poll.recovered" }, "what central sends is taken again");
      told = undefined;
      progress.moved("downlink");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof PlantgateError) || error.disposition === "crash") throw error;
      const reason = describeError(error);
      // a link that is up, and nothing comes through it: for a person, once
      const isUp = isAnswered(error) || error.code === "QUEUE_FULL";
      if (!isUp) log.debug({ event: "downlink.poll.failed", reason }, "poll failed");
      else if (reason !== told)
        log[error.code === "PEER_UNREACHABLE" ? "error" : "warn"](
          { event: "downlink.poll.refused", reason },
          "central answers, but nothing that it sends can be taken",
        );
      if (isUp) {
        told = reason;
        progress.hindered("downlink", reason);
      }
      if (session.isCurrent(online.session)) await clock.sleep(askedToWaitMs(error) ?? delays.next().value, signal);
    }
  }
}

/** @throws PlantgateError PEER_BUSY, PEER_UNREACHABLE: central answered, and not with what can be taken */
function understood(answer: LinkAnswer): ParsedDownlink {
  const context = { answered: true };
  if (answer.kind === "problem")
    throw new PlantgateError("PEER_BUSY", answer.problem.detail ?? answer.problem.title, {
      context: answer.retryAfterMs === undefined ? context : { ...context, waitMs: answer.retryAfterMs },
    });
  const parsed = parseDownlink(answer.body);
  if (!("problem" in parsed)) return parsed;
  throw new PlantgateError("PEER_UNREACHABLE", `the answer to the downlink poll was not understood: ${parsed.problem}`, {
    context,
  });
}

const storedPosition = z.object({ epoch: z.string().optional(), sequence: z.int().min(0) });
type Position = Readonly<z.infer<typeof storedPosition>>;

async function record(deps: DownlinkDeps, position: Position, answer: ParsedDownlink): Promise<Position> {
  // another epoch: central counts anew
  const known = answer.epoch === position.epoch ? position.sequence : 0;
  const messages: NewMessage[] = [];
  const deadLetters = [];
  let sequence = known;
  const inputs: Uint8Array[] = [];
  const centralAt = deps.session.centralNow();
  for (const { sequence: at, event, body, waitedMs, again } of answer.messages) {
    if (at <= sequence) continue;
    sequence = at;
    if (event) {
      const { source, id } = event;
      // a restored central routes again what it routed before its backup: the same event is taken once (CloudEvents 1.0, 3.1.1)
      const repeat = { key: `central\n${source}\n${id}`, hash: createHash("sha256").update(body).digest("hex") };
      messages.push({ lane: "inbound", line: body, input: inputs.length, repeat });
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
        body: Buffer.from(body),
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

/** One that is damaged on disk counts as none: central then sends what was not acknowledged to it, and what came before is known as a repeat. */
function parsePosition(stored: string | undefined): Position {
  const none = { sequence: 0 };
  try {
    return stored === undefined ? none : (storedPosition.safeParse(parseJson(stored)).data ?? none);
  } catch {
    return none;
  }
}
