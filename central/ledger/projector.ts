import { type Clock, PlantgateError } from "../../protocol/index.ts";
import type { Alarms } from "../alert/alarms.ts";
import { catchUp, heldSites } from "../router/held.ts";
import { type Hints, ledgerHint } from "../router/hints.ts";
import { releaseParked } from "../router/parked.ts";
import { type Routes, tellUnreadable } from "../router/routes.ts";
import { isOutage, type Storage, type StorageTransaction } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Attempts, maxAttempts } from "./attempts.ts";
import {
  batchesFrom,
  type Cursor,
  type CursorState,
  claimCursor,
  lanesBehind,
  setAside,
  type Which,
  writeCursor,
} from "./cursor.ts";
import { beginLook, damageAlarm, damageOf, look, missingAlarm } from "./damage.ts";
import type { Frames } from "./frames.ts";
import { eventAt, lineEnd, lineStart } from "./lines.ts";
import { type BatchRow, wholeStep } from "./plan.ts";
import { evidenceOf, setLinesAside } from "./quarantine.ts";
import { type JudgedStretch, projectStretches, tally } from "./slice.ts";
import { type StepLines, StepReader } from "./step-lines.ts";
import { type Turn, Turns } from "./turns.ts";

export interface ProjectorDeps {
  readonly storage: Storage;
  readonly frames: Frames;
  readonly routes: Routes;
  readonly hints: Hints;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether so many plants wait to be heard that projection should leave them most of the time; never, where it is not said. */
  readonly pressed?: () => boolean;
  /** Told after a step, for other replicas. */
  readonly projected?: (sites: ReadonlySet<string>) => void;
}

type Outcome =
  | { readonly kind: "projected"; readonly next: CursorState; readonly more: boolean }
  /** Another replica works on it, or went on with it meanwhile; or nothing is left; or it is damaged, or damaged again, or gone. */
  | { readonly kind: "elsewhere" | "moved" | "nothing" | "damaged" | "missing" }
  /** What its site may send cannot be read: its messages wait. */
  | { readonly kind: "held" };

const idleMs = 1000;
const outageMs = 1000;
const retryMs = 20;
/** Batches that are set aside one by one as they are not found. */
const maxMissing = 10_000;
/** While plants press, projection leaves them all of the time at first: most of a storm's calls come in its first second. */
const holdMs = 2000;
const holdLookMs = 50;
/** Then a pause of so many times the step before it: they are answered soon, and projection does not stand still. */
const pauses = 3;

/**
 * Turns recorded batches into the ledger, routes and quarantine, in steps of one transaction each that also moves the lane's cursor: a
 * crash anywhere doubles and loses nothing. Each attempt is noted, durably, before it is made, so that a message which takes the whole
 * process down is found as well (rule 16).
 * Replicas share the work: a lane's cursor is locked while a step is made (rule 13).
 */
export class Projector {
  readonly #deps: ProjectorDeps;
  readonly #turns = new Turns();
  readonly #attempts: Attempts;
  readonly #reader: StepReader;
  /** A damaged batch that was found whole again, until all of it is projected. */
  #repaired: Which | undefined;
  /** How often the configuration had been loaded when people were told what of it cannot be read. */
  #toldLoads = 0;
  /** Since when plants press. */
  #pressedAt: number | undefined;
  /** Some sites are behind with what is routed to them. */
  #behind = true;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #tendedAt = Number.NEGATIVE_INFINITY;
  #wake: AbortController | undefined;

  constructor(deps: ProjectorDeps) {
    this.#deps = deps;
    this.#attempts = new Attempts(deps.storage);
    this.#reader = new StepReader(deps);
  }

  /** There is something new; without it the projector looks by itself once a second. */
  wake(turns: readonly Turn[] = []): void {
    for (const turn of turns) this.#turns.add(turn);
    this.#wake?.abort();
  }

  /** Runs until the signal aborts, between two steps. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, pressed } = this.#deps;
    const stop = (): void => this.wake();
    signal.addEventListener("abort", stop);
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        const began = clock.monotonic();
        this.#pressedAt = pressed?.() ? (this.#pressedAt ?? began) : undefined;
        if (this.#pressedAt !== undefined && began - this.#pressedAt < holdMs) await clock.sleep(holdLookMs, signal);
        else if (!(await this.step())) await clock.sleep(idleMs, this.#wake.signal);
        else if (pressed?.()) await clock.sleep(pauses * (clock.monotonic() - began), signal);
        // other work of the process gets its turn between two steps
        else await new Promise((resolve) => setImmediate(resolve));
      } catch (error) {
        if (isOutage(error)) {
          log.error(
            { event: "projector.storage.failed", err: error },
            "the ledger's storage fails, or its configuration cannot be loaded: projection waits",
          );
          await clock.sleep(outageMs, signal);
        } else {
          log.warn(
            { event: "projector.step.failed", err: error },
            "a step could not be projected, it is tried again in smaller parts",
          );
          await clock.sleep(retryMs, signal);
        }
      }
    }
    signal.removeEventListener("abort", stop);
  }

  /**
   * Projects one step.
   * @returns whether there may be more to do at once
   * @throws what the step failed with; the attempt stays noted, unless the storage itself is out of order
   */
  async step(): Promise<boolean> {
    const { storage, clock } = this.#deps;
    if (this.#turns.empty || clock.monotonic() - this.#lookedAt > idleMs) {
      this.#lookedAt = clock.monotonic();
      for (const turn of await lanesBehind(storage)) this.#turns.add(turn);
      this.#behind = (await heldSites(storage)).size > 0;
      // what changed is loaded before a message waits for it
      await this.#loadRoutes(storage);
    }
    await this.#tellUnreadable();
    const caughtUp = await this.#catchUp();
    // what was damaged has its turn too, however much else there is
    if (clock.monotonic() - this.#tendedAt > idleMs && (await this.#stepDamaged())) return true;
    const turn = this.#turns.next();
    if (!turn) return (await this.#stepDamaged()) || caughtUp;
    try {
      const outcome = await this.#attempt(turn);
      if (outcome.kind === "moved" || (outcome.kind === "projected" && outcome.more)) this.#turns.add(turn);
      return caughtUp || !["elsewhere", "held", "missing"].includes(outcome.kind) || !this.#turns.empty;
    } catch (error) {
      this.#turns.add(turn);
      throw error;
    }
  }

  /** When there is nothing else, and now and then: a damaged batch is looked at again, and what waited for one that is whole again goes on. */
  async #stepDamaged(): Promise<boolean> {
    const { storage, hints, projected, clock } = this.#deps;
    this.#tendedAt = clock.monotonic();
    const which = this.#repaired ?? (await this.#findRepaired());
    this.#repaired = undefined;
    if (!which) {
      const sites = await releaseParked(storage);
      if (sites.size === 0) return false;
      hints.wakeAll(sites);
      projected?.(sites);
      return true;
    }
    try {
      const outcome = await this.#attempt(which);
      if (outcome.kind === "projected" && outcome.more) this.#repaired = which;
      return outcome.kind === "projected";
    } catch (error) {
      // a message that fails is found in smaller parts
      if (!isOutage(error)) this.#repaired = which;
      throw error;
    }
  }

  async #findRepaired(): Promise<Which | undefined> {
    const { storage, clock, frames } = this.#deps;
    const found = await beginLook(storage, clock.now());
    if (!found || !(await look(storage, found))) return undefined;
    frames.forget(found);
    return { site: found.site, lane: found.lane, damagedBatch: found.batch };
  }

  /** Once a configuration is loaded: whose part of it cannot be read. */
  async #tellUnreadable(): Promise<void> {
    const { storage, routes, alarms } = this.#deps;
    const { loads } = routes;
    if (loads === this.#toldLoads) return;
    await tellUnreadable(storage, routes.unreadable, alarms);
    this.#toldLoads = loads;
  }

  /** A part of what a site has missed while its configuration could not be read; it holds up nobody else. @returns whether there was any */
  async #catchUp(): Promise<boolean> {
    const { hints, alarms, log, projected } = this.#deps;
    if (!this.#behind) return false;
    this.#behind = false;
    try {
      const part = await catchUp(this.#deps);
      if (part.kind === "stuck")
        log.warn({ event: "router.site.stuck", site: part.site }, "what a site has missed cannot be read from the ledger's disk");
      if (part.kind !== "part") return false;
      alarms.log(part.alarms);
      if (part.sent > 0) {
        hints.wakeAll(new Set([part.site]));
        projected?.(new Set([part.site]));
      }
      this.#behind = true;
      return true;
    } catch (err) {
      if (isOutage(err)) throw err;
      log.error({ event: "router.site.notCaughtUp", err }, "what a site has missed could not be routed to it, tried again");
      return false;
    }
  }

  async #attempt(which: Which): Promise<Outcome> {
    try {
      const noted = await this.#attempts.begin(which);
      if (typeof noted === "string") return { kind: noted };
      const outcome = await this.#stepOf(which, noted);
      if (outcome.kind === "projected") this.#attempts.succeeded(which, outcome.next);
      else if (outcome.kind === "held" || outcome.kind === "elsewhere") this.#attempts.excuse(which);
      return outcome;
    } catch (error) {
      this.#attempts.failed(which, error);
      throw error;
    }
  }

  async #stepOf(which: Which, noted: CursorState): Promise<Outcome> {
    const { storage, routes, hints, alarms, log, projected } = this.#deps;
    const done = await storage.transaction().execute(async (tx) => {
      const cursor = await claimCursor(tx, which);
      if (!cursor) return { kind: "elsewhere" as const };
      if (!this.#attempts.stands(cursor, noted)) return { kind: "moved" as const };
      const batches = await batchesFrom(tx, cursor);
      if (batches.length === 0) return cursor.batch > cursor.recorded ? { kind: "nothing" as const } : this.#miss(tx, cursor);
      await this.#loadRoutes(tx);
      if (routes.unreadable.has(cursor.site)) return { kind: "held" as const };
      // even reading it ended the process
      if (cursor.kind === "lane" && cursor.attempts > maxAttempts + 1) return this.#giveUp(tx, cursor, batches);
      const read = await this.#reader.read(tx, cursor, batches);
      if (!read) return cursor.kind === "lane" ? this.#giveUp(tx, cursor, batches) : { kind: "damaged" as const };
      return this.#project(tx, cursor, read);
    });
    if (done.kind === "missing") alarms.log(done.alarms);
    if (done.kind !== "written") return done;
    alarms.log(done.alarms);
    if (done.note) log.error(done.note.fields, done.note.sentence);
    hints.wakeAll(done.sites);
    hints.wake(ledgerHint);
    projected?.(done.sites);
    return { kind: "projected", next: done.next, more: done.more };
  }

  async #project(tx: StorageTransaction, cursor: Cursor, read: StepLines) {
    const { routes, alarms, clock, frames } = this.#deps;
    const { step, judged } = read;
    const failed = cursor.attempts > maxAttempts && step.count === 1 ? judged[0] : undefined;
    const written = failed
      ? await this.#quarantine(tx, failed)
      : await projectStretches(tx, cursor, judged, {
          routes,
          alarms,
          now: clock.now(),
          late: cursor.kind === "damaged" ? cursor : undefined,
          dataAt: async (position) => (await eventAt(tx, frames, position)).data,
        });
    const { batch, done } = step;
    const size = failed || batch !== cursor.batch ? wholeStep(cursor.lane) : cursor.size;
    const next = this.#attempts.first(cursor, { batch, done, size });
    await writeCursor(tx, cursor, next, step.count);
    if (cursor.kind === "damaged" && batch > cursor.batch) await alarms.end(tx, damageOf(cursor));
    const more = batch <= (cursor.kind === "lane" ? cursor.recorded : cursor.batch);
    return { kind: "written" as const, ...written, next, more, note: failed && quarantined(failed) };
  }

  /** Sets one message aside whose projection fails by itself. */
  async #quarantine(tx: StorageTransaction, { stretch }: JudgedStretch) {
    const { site, lane, epoch } = stretch.batch;
    const evidence = await this.#reader.use(tx, stretch, (text) => {
      const start = lineStart(text, stretch.skipLines);
      return evidenceOf(text.subarray(start, lineEnd(text, start)));
    });
    const reason = `its projection failed ${maxAttempts} times`;
    await setLinesAside(tx, stretch.batch, [{ sequence: stretch.firstSequence, code: "projection-failed", reason, evidence }]);
    await tally(tx, { site, lane, epoch }, { messages: 0, repeats: 0, quarantined: 1 });
    return { sites: new Set<string>(), alarms: [] };
  }

  /** Goes on behind a batch that cannot be read, or is not found. */
  async #giveUp(tx: StorageTransaction, cursor: Cursor, [damaged]: readonly BatchRow[]) {
    const { site, lane, batch } = cursor;
    const next = this.#attempts.first(cursor, { batch: batch + 1, done: 0, size: wholeStep(lane) });
    await setAside(tx, cursor, next);
    const alarm = damaged ? damageAlarm(damaged, cursor.done) : missingAlarm(cursor);
    const alarms = await this.#deps.alarms.raise(tx, [alarm]);
    const fields = { event: "projector.batch.damaged", site, lane, batch };
    const note = { fields, sentence: "a recorded batch cannot be read from the disk" };
    return { kind: "written" as const, sites: new Set<string>(), alarms, next, more: true, note };
  }

  /** The cursor's batch was recorded and is not there. Where very many are not, the numbers themselves are damaged, and the lane waits. */
  async #miss(tx: StorageTransaction, cursor: Cursor) {
    if (cursor.kind === "damaged") return { kind: "damaged" as const };
    if (cursor.recorded - cursor.batch < maxMissing) return this.#giveUp(tx, cursor, []);
    return { kind: "missing" as const, alarms: await this.#deps.alarms.raiseOnce(tx, missingAlarm(cursor)) };
  }

  /** What a site may send or gets, as of the newest configuration that its messages can know of. None of them is blamed for it. */
  async #loadRoutes(db: Storage | StorageTransaction): Promise<void> {
    try {
      await this.#deps.routes.refresh(db);
    } catch (cause) {
      if (isOutage(cause)) throw cause;
      throw new PlantgateError("CONFIG_INVALID", "who may send what to whom cannot be loaded", { cause });
    }
  }
}

function quarantined({ stretch }: JudgedStretch) {
  const { site, lane, epoch } = stretch.batch;
  const fields = { event: "projector.message.quarantined", site, lane, epoch, sequence: stretch.firstSequence };
  return { fields, sentence: "a message could not be projected and was set aside" };
}
