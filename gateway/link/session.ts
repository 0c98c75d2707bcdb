import { randomUUID } from "node:crypto";
import { z } from "zod";
import {
  type Clock,
  describeError,
  type Hello,
  type HelloAnswer,
  helloAnswer,
  type Lane,
  lanes,
  PlantgateError,
  type Problem,
  toInstant,
} from "../../protocol/index.ts";
import type { LaneDepth } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type EndedByAnswer, isAnswered, PausesAfterHellos, PausesAfterSessions } from "./pauses.ts";
import type { LinkAnswer, LinkRequest, Transport } from "./transport.ts";

/**
 * The link's modes. `offline` → `online` by a hello; back by any failure. `denied`: central does not accept us, tried again slowly, the
 * plant runs on (P5). `fenced`: a newer session of this site exists, or its gateway moved to other hardware and this is what it left; only a
 * person ends it (rule 5).
 */
export type LinkState =
  | { readonly kind: "offline"; readonly reason: string }
  | OnlineLink
  | { readonly kind: "denied"; readonly reason: string }
  | { readonly kind: "fenced"; readonly reason: string };

export interface OnlineLink {
  readonly kind: "online";
  readonly session: string;
  /** What central has of each lane, as it said at the beginning. */
  readonly watermarks: HelloAnswer["watermarks"];
}

export interface SessionDeps {
  readonly site: string;
  readonly version: string;
  readonly transport: Transport;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly log: Logger;
  /** Deliveries stop, and it is flushed: a restart does not say hello again. The link has stopped before, as a full disk may keep this waiting. */
  readonly onFenced: (reason: string) => Promise<void>;
  /** Done before each hello. @returns what central answered instead of what was asked of it; undefined: nothing stands in the way */
  readonly beforeHello?: () => Promise<Refusal | undefined>;
}
type Refusal = Extract<LinkAnswer, { kind: "problem" }>;

const untried: LinkState = { kind: "offline", reason: "not tried yet" };

/** Every answer of central that depends on its ledger names it. */
const answerOfLedger = z.object({ incarnation: z.string() });

/** Problems after which a new hello helps. */
const helloAgain = new Set(["session-unknown"]);
const passedOver = new Set(["conflict", "invalid", "not-found"]);
const denied = new Set(["not-signed", "token-invalid", "key-unknown", "site-unknown", "site-revoked", "not-allowed"]);

/** Keeps one session with central and hands it to uplink, downlink and status; they report what breaks it. */
export class Session {
  readonly #deps: SessionDeps;
  readonly #bootId = randomUUID();
  #state: LinkState = untried;
  /** Central's ledger, as the last hello named it. */
  #incarnation: string | undefined;
  /** The last session was ended by what central answered, not by the way to it; and how long central asks to be left alone. */
  #endedByAnswer: EndedByAnswer | undefined;
  /** When the first hello was begun, in running time. */
  readonly #began = Promise.withResolvers<number>();
  /** Central has said once whether it takes us. */
  #hasWord = false;
  #changed = Promise.withResolvers<void>();
  readonly #listeners = new Set<() => void>();

  constructor(deps: SessionDeps, fencedBefore: string | undefined) {
    this.#deps = deps;
    if (fencedBefore === undefined) return;
    this.#state = { kind: "fenced", reason: fencedBefore };
    this.#hasWord = true;
  }

  get state(): LinkState {
    return this.#state;
  }

  /**
   * Says hello whenever there is no session; returns when the signal aborts or the session is fenced. While nobody answers at all it is
   * tried about twice a second, so that a link that returns is used at once; whoever answers, and does not let us in, is asked ever more rarely.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    this.#began.resolve(clock.monotonic());
    const afterSessions = new PausesAfterSessions();
    const afterHellos = new PausesAfterHellos();
    let beganAt: number | undefined;
    while (!signal.aborted && this.#state.kind !== "fenced") {
      if (this.#state.kind === "online") {
        await this.#nextChange(signal);
        continue;
      }
      if (beganAt !== undefined) await clock.sleep(afterSessions.next(clock.monotonic() - beganAt, this.#endedByAnswer), signal);
      beganAt = undefined;
      this.#endedByAnswer = undefined;
      try {
        await this.#hello(signal);
        beganAt = clock.monotonic();
        afterHellos.succeeded();
      } catch (error) {
        if (signal.aborted) return;
        const isSaid = error instanceof PlantgateError && (error.code === "LINK_DENIED" || error.code === "LINK_FENCED");
        if (!isSaid) this.#becomeUnreached(describeError(error));
        await clock.sleep(afterHellos.next(error), signal);
      }
    }
  }

  /** Whether the link is up in this very session. */
  isCurrent(session: string): boolean {
    return this.#state.kind === "online" && this.#state.session === session;
  }

  /** Calls `listener` after each change of the link; returns the way to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Resolves once central has said whether it takes us, or `mostMs` are over since the first hello was begun: a copy that was left behind, or a
   * gateway that is turned away as an older one, is to know so before it delivers anything (rule 5). That central was not reached yet is no word of it: the
   * network of a machine that was just switched on comes later. A plant without its centre goes on (P5).
   */
  async firstWord(mostMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const beganAt = await before(this.#began.promise, signal);
    if (beganAt === undefined || this.#hasWord) return;
    const over = new AbortController();
    const leftMs = Math.max(0, beganAt + mostMs - clock.monotonic());
    let isOver = leftMs === 0;
    const waited = clock.sleep(leftMs, AbortSignal.any([signal, over.signal])).then(() => {
      isOver = true;
    });
    while (!this.#hasWord && !isOver) await Promise.race([this.#nextChange(signal), waited]);
    over.abort();
  }

  /** Central's clock; undefined without a link. */
  centralNow(): number | undefined {
    return this.#state.kind === "online" ? this.#deps.transport.centralNow() : undefined;
  }

  /** Resolves with the session as soon as there is one; undefined when the signal aborts. */
  async online(signal: AbortSignal): Promise<OnlineLink | undefined> {
    while (!signal.aborted) {
      if (this.#state.kind === "online") return this.#state;
      await this.#nextChange(signal);
    }
    return undefined;
  }

  /**
   * One request within a session; an answer that ends the session ends it here, and so does silence. Something that is not central and answers
   * in its place does not: it may stand in the way of this request only.
   * @throws PlantgateError PEER_UNREACHABLE, LINK_DENIED, LINK_FENCED
   */
  async send(session: string, request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer> {
    let answer: LinkAnswer;
    try {
      answer = await this.#deps.transport.send(request, signal);
    } catch (error) {
      if (!signal.aborted && !isAnswered(error)) this.#lose(session, { kind: "offline", reason: describeError(error) });
      throw error;
    }
    if (answer.kind === "problem") await this.#judge(session, answer.problem, answer.retryAfterMs);
    else this.#requireSameLedger(session, answer.body);
    return answer;
  }

  /** Central was restored under this session (rule 6): what it acknowledged may be lost, and a hello says what it has. */
  #requireSameLedger(session: string, body: unknown): void {
    const told = answerOfLedger.safeParse(body);
    if (!told.success || told.data.incarnation === this.#incarnation) return;
    const reason = "central's ledger is another one than this session began with: it was restored";
    this.#endByAnswer(session, { kind: "offline", reason });
    throw new PlantgateError("PEER_UNREACHABLE", reason);
  }

  async #judge(session: string, told: Problem, waitMs: number | undefined): Promise<void> {
    const reason = told.detail ?? told.title;
    // an answer to a session that we left ourselves says nothing about another gateway
    if (
      told.code === "fenced" &&
      (this.#state.kind !== "online" || this.#state.session !== session) &&
      this.#state.kind !== "fenced"
    ) {
      throw new PlantgateError("PEER_UNREACHABLE", "the request belonged to an earlier session");
    }
    if (told.code === "fenced" || told.moved) await this.#fence(reason);
    if (denied.has(told.code)) {
      this.#endByAnswer(session, { kind: "denied", reason }, waitMs);
      throw new PlantgateError("LINK_DENIED", reason);
    }
    if (helloAgain.has(told.code)) {
      this.#endByAnswer(session, { kind: "offline", reason }, waitMs);
      throw new PlantgateError("PEER_UNREACHABLE", reason);
    }
  }

  /** @throws PlantgateError LINK_FENCED */
  async #fence(reason: string): Promise<never> {
    if (this.#state.kind !== "fenced") {
      this.#become({ kind: "fenced", reason });
      this.#deps.log.error(
        { event: "link.session.fenced", reason },
        "another gateway runs as this site: link and deliveries stop, intake goes on; a person has to decide which one is real",
      );
      await this.#deps.onFenced(reason);
    }
    throw new PlantgateError("LINK_FENCED", reason);
  }

  async #hello(signal: AbortSignal): Promise<void> {
    const { transport, queue, site, version, clock, log, beforeHello } = this.#deps;
    const refused = await beforeHello?.();
    // what this central does not know, or will not have, is no reason to stay away
    if (refused && !passedOver.has(refused.problem.code)) return this.#turnedAway(refused);
    const [depth, left] = await Promise.all([queue.depth(), queue.leftEpochs()]);
    const greeting: Hello = {
      gatewayVersion: version,
      bootId: this.#bootId,
      sentAt: toInstant(clock.now()),
      // what was left comes before what follows it
      epochs: [
        ...left.map(({ lane, epoch, first, chain, last, predecessor }) =>
          named(lane, epoch, { firstSequence: first, chain, acknowledged: last, predecessor }),
        ),
        ...depth.lanes
          .filter(isUplinked)
          .map(({ lane, epoch, epochFirst, epochChain, predecessor, acknowledged }) =>
            named(lane, epoch, { firstSequence: epochFirst, chain: epochChain, acknowledged, predecessor }),
          ),
      ],
    };
    const answer = await transport.send(
      {
        method: "POST",
        path: `/v1/sites/${encodeURIComponent(site)}/sessions`,
        json: greeting,
        silenceMs: 15_000,
        longestMs: 60_000,
      },
      signal,
    );
    if (answer.kind === "problem") return this.#turnedAway(answer);
    const welcome = helloAnswer.safeParse(answer.body);
    if (!welcome.success)
      throw new PlantgateError("PEER_UNREACHABLE", "central's answer to hello was not understood", {
        context: { answered: true },
      });
    this.#reportAhead(depth.lanes.filter(isUplinked), welcome.data);
    const { session, incarnation, watermarks, recoveryPointSeconds } = welcome.data;
    await queue.keepAcknowledged(recoveryPointSeconds * 1000);
    log.info({ event: "link.session.began", session }, "connected to central");
    this.#incarnation = incarnation;
    this.#become({ kind: "online", session, watermarks });
  }

  /** @throws PlantgateError LINK_FENCED, LINK_DENIED */
  async #turnedAway({ problem, retryAfterMs }: Refusal): Promise<never> {
    const reason = problem.detail ?? problem.title;
    if (problem.moved) await this.#fence(reason);
    if (denied.has(problem.code) && this.#state.kind !== "denied") {
      this.#deps.log.error(
        { event: "link.hello.refused", code: problem.code, reason },
        "central refuses this gateway; the plant runs on, messages wait on disk",
      );
    }
    this.#become({ kind: denied.has(problem.code) ? "denied" : "offline", reason });
    throw new PlantgateError("LINK_DENIED", reason, { context: retryAfterMs === undefined ? {} : { waitMs: retryAfterMs } });
  }

  /**
   * Central knows more of an epoch than we ever wrote: this disk is older than what was sent from it (rule 4). What both have alike is
   * acknowledged as such; the first message that differs is found as a fork, and begins a new epoch.
   */
  #reportAhead(own: readonly LaneDepth[], { watermarks }: HelloAnswer): void {
    for (const { lane, epoch, watermark } of watermarks) {
      const depth = own.find((entry) => entry.lane === lane && entry.epoch === epoch);
      if (!depth || watermark <= depth.last) continue;
      this.#deps.log.error(
        { event: "link.lane.setBack", lane, watermark, last: depth.last },
        "central holds messages that this disk does not know: it was set back; what comes next begins a new epoch",
      );
    }
  }

  /** Not even the smallest request comes through to central any more. */
  broken(session: string, reason: string): void {
    this.#lose(session, { kind: "offline", reason });
  }

  /** A new epoch was opened: central learns of it by a new hello. */
  renew(session: string): void {
    this.#endByAnswer(session, { kind: "offline", reason: "a lane began a new epoch" });
  }

  #endByAnswer(session: string, next: LinkState, waitMs = 0): void {
    if (!this.isCurrent(session)) return;
    this.#endedByAnswer = { waitMs };
    this.#lose(session, next);
  }

  #lose(session: string, next: LinkState): void {
    if (this.#state.kind !== "online" || this.#state.session !== session) return;
    this.#deps.log.warn(
      { event: "link.session.lost", reason: "reason" in next ? next.reason : "" },
      "the link to central is down, messages wait on disk",
    );
    // what else is under way ends now, and nothing new goes over a connection that may be dead
    this.#deps.transport.close();
    this.#become(next);
  }

  /** Said once for each reason, not with every try. */
  #becomeUnreached(reason: string): void {
    if (!("reason" in this.#state) || this.#state.reason !== reason)
      this.#deps.log.warn({ event: "link.central.notReached", reason }, "central is not reached, messages wait on disk");
    this.#become({ kind: "offline", reason });
  }

  #become(state: LinkState): void {
    this.#state = state;
    if (state.kind !== "offline") this.#hasWord = true;
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers();
    resolve();
    for (const listener of this.#listeners) listener();
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return before(this.#changed.promise, signal);
  }
}

/** What a promise brings; undefined where the signal aborts first. */
function before<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value | undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = (): void => aborted.resolve(undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener("abort", onAbort));
}

type Named = Hello["epochs"][number];

function named(
  lane: Lane,
  epoch: string,
  { predecessor, ...told }: Omit<Named, "lane" | "epoch" | "predecessor"> & { readonly predecessor: LaneDepth["predecessor"] },
): Named {
  return { lane, epoch, ...told, ...(predecessor ? { predecessor } : {}) };
}

function isUplinked(depth: LaneDepth): depth is LaneDepth & { lane: Lane } {
  return (lanes as readonly string[]).includes(depth.lane);
}
