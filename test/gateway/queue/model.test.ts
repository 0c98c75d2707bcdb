import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { QueueLane } from "../../../gateway/queue/change.ts";
import { decodeLines } from "../../../gateway/queue/frame.ts";
import { framePosition } from "../../../gateway/queue/schema.ts";
import type { QueueStore } from "../../../gateway/queue/store.ts";
import { type Lane, PlantgateError, queuePolicy } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hash, laneOf, openStore, TestKernel } from "../../support/queue-store.ts";

const lanes = ["transaction", "bulk", "telemetry"] as const satisfies readonly Lane[];
const lane = fc.constantFrom(...lanes);

/** What may happen to a queue, in any order. */
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      lane,
      sizes: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("acknowledge" as const), lane, share: fc.integer({ min: 0, max: 10 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reopen" as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("crash" as const), torn: fc.integer({ min: 0, max: 5000 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cut" as const), share: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("full" as const), pages: fc.integer({ min: 0, max: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("clock" as const), years: fc.constantFrom(-30, 10) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 7_200_000 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reboot" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("configure" as const),
      kib: fc.constantFrom(8, 16, 32, 1024),
      recovery: fc.constantFrom(0, 3600),
      sealed: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("epoch" as const), lane }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("maintain" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Mostly samples, more than their lane takes. */
const budgetStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      lane: fc.constant("telemetry" as const),
      sizes: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("acknowledge" as const),
      lane: fc.constant("telemetry" as const),
      share: fc.integer({ min: 0, max: 10 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("configure" as const),
      kib: fc.constantFrom(8, 16, 32),
      recovery: fc.constantFrom(0, 3600),
      sealed: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("maintain" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 7_200_000 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("epoch" as const), lane: fc.constant("telemetry" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const), torn: fc.integer({ min: 0, max: 5000 }) }) },
);

/** A queue under test beside what it accepted. */
class Subject {
  store: QueueStore;
  readonly #root: string;
  readonly #kernel = new TestKernel();
  #folder: string;
  #now = 1_700_000_000_000;
  #copies = 0;
  #written = 0;
  #boots = 1;
  /** Every line that a lane accepted; its sequence is its place, counted from 1. */
  readonly accepted: Record<(typeof lanes)[number], string[]> = { transaction: [], bulk: [], telemetry: [] };
  /** The log of the file was cut: acknowledged messages may be missing, but not in silence. */
  cut = false;
  #telemetryBudget = Number.POSITIVE_INFINITY;
  /** The largest frame of samples that there ever was. */
  #largestBytes = 0;

  constructor(root: string) {
    this.#root = root;
    this.#folder = join(root, "0");
    mkdirSync(this.#folder);
    this.store = this.#open();
  }

  #open(): QueueStore {
    const readSpace = () => ({ freeBytes: 1e12, sizeBytes: 0 });
    return openStore(this.#folder, { kernel: this.#kernel, now: () => this.#now, readSpace });
  }

  #line(size: number): string {
    this.#written += 1;
    return `${this.#written}/${Array.from({ length: size }, (_, index) => hash(`${this.#written}/${index}`)).join("")}`;
  }

  apply(action: Step): void {
    switch (action.do) {
      case "append":
        return this.#append(
          action.lane,
          action.sizes.map((size) => this.#line(size)),
        );
      case "acknowledge":
        return this.#acknowledge(action.lane, action.share);
      case "reopen":
        this.store.close();
        this.store = this.#open();
        return;
      case "crash":
        return this.#crash((wal) => appendFileSync(wal, Buffer.alloc(action.torn, 0x5a)));
      case "cut":
        this.cut = true;
        return this.#crash((wal) => truncateSync(wal, Math.floor((statSync(wal).size * action.share) / 10)));
      case "full": {
        const pages = this.store.database.prepare("PRAGMA page_count").get()!.page_count as number;
        this.store.database.exec(`PRAGMA max_page_count = ${pages + action.pages}`);
        for (const each of lanes) this.#append(each, [this.#line(200), this.#line(200)]);
        this.store.database.exec("PRAGMA max_page_count = 1000000");
        return;
      }
      case "clock":
        this.#now += action.years * 365 * 86_400_000;
        return;
      case "wait":
        this.#kernel.uptime += action.ms;
        return;
      case "reboot":
        this.store.close();
        this.#boots += 1;
        Object.assign(this.#kernel, { boot: `boot-${this.#boots}`, uptime: 500 });
        this.store = this.#open();
        return;
      case "configure":
        this.#telemetryBudget = action.kib * 1024;
        this.store.keepAcknowledged(action.recovery * 1000);
        this.store.configure(
          queuePolicy.parse({ lanes: { telemetry: { maxBytes: `${action.kib}KiB` } }, encryption: { atRest: action.sealed } }),
        );
        return;
      case "epoch":
        return this.store.openEpoch(action.lane);
      case "maintain":
        this.#discards(() => this.store.maintain());
    }
  }

  #append(to: (typeof lanes)[number], lines: readonly string[]): void {
    try {
      const commit = () => this.store.commit([{ messages: lines.map((line) => ({ lane: to, line })) }]);
      if (to === "telemetry") this.#discards(commit, Buffer.byteLength(lines.join("")));
      else commit();
      this.accepted[to].push(...lines);
    } catch (error) {
      if (!(error instanceof PlantgateError) || error.code !== "QUEUE_FULL") throw error;
    }
  }

  /** Work after which the samples keep to their budget: what central has goes first, then the oldest, and no more than is needed. */
  #discards(work: () => void, writtenBytes = 0): void {
    const before = samplesIn(this.store);
    const counted = laneOf(this.store, "telemetry").storedBytes;
    work();
    const after = samplesIn(this.store);
    const { storedBytes } = laneOf(this.store, "telemetry");
    this.#largestBytes = Math.max(this.#largestBytes, ...before.frames.concat(after.frames).map(({ bytes }) => bytes));
    if (!this.cut) {
      expect(counted, "what is counted before").toBe(before.bytes);
      expect(storedBytes, "what is counted").toBe(after.bytes);
    }
    expect(after.bytes, "the budget").toBeLessThanOrEqual(this.#telemetryBudget);
    if (after.discarded <= before.discarded) return;
    const { acknowledged, epochFirst } = this.store.position("telemetry");
    const [oldest] = after.frames;
    if (!this.cut) expect(oldest?.first ?? Number.POSITIVE_INFINITY, "what central has goes first").toBeGreaterThan(acknowledged);
    // what is larger than the whole budget goes with the commit that wrote it: nobody saw its frame
    const largest = after.frames.length > 0 ? this.#largestBytes : Math.max(this.#largestBytes, writtenBytes);
    expect(after.bytes + largest, "no more than is needed").toBeGreaterThan(this.#telemetryBudget * 0.98);
    const discardable = after.frames.filter(({ first }) => first > acknowledged && first >= epochFirst);
    const newest = after.lastDiscarded;
    if (!this.cut)
      expect(
        discardable.filter(({ first }) => first < newest),
        "the oldest first",
      ).toEqual([]);
  }

  /** As central does: whole frames. */
  #acknowledge(of: Lane, share: number): void {
    const { acknowledged, epoch } = this.store.position(of);
    const frames = this.store.frames(of, acknowledged, { frames: 1000, bytes: 1e9 });
    const last = frames[Math.ceil((frames.length * share) / 10) - 1];
    if (!last) return;
    const watermark = last.first + last.count - 1;
    this.store.commit([{ acknowledged: { lane: of, epoch, watermark }, dispatched: { lane: of, upTo: watermark } }]);
  }

  /** The process dies; what the system had of the files is what the next one opens. */
  #crash(harm: (wal: string) => void): void {
    this.#copies += 1;
    const next = join(this.#root, String(this.#copies));
    cpSync(this.#folder, next, { recursive: true, filter: (name) => !name.endsWith("-shm") });
    const wal = join(next, readdirSync(next).find((name) => name.endsWith("-wal")) ?? "queue.sqlite-wal");
    if (existsSync(wal)) harm(wal);
    this.store.close();
    this.#folder = next;
    this.store = this.#open();
  }
}

/** The samples that lie on disk, frame by frame, and how many do not any more, as their holes say. */
function samplesIn(store: QueueStore) {
  const sizes = store.database.prepare(
    "SELECT length(events) + coalesce(length(inputs), 0) AS bytes FROM frames WHERE position = ?",
  );
  const frames: { first: number; bytes: number }[] = [];
  let [discarded, lastDiscarded] = [0, 0];
  for (let after = 0; ; ) {
    const some = store.frames("telemetry", after, { frames: 100, bytes: 1e9 });
    if (some.length === 0) break;
    for (const { first, count, hole } of some) {
      after = first + count - 1;
      if (hole === undefined) frames.push({ first, bytes: sizes.get(framePosition("telemetry", first))!.bytes as number });
      else if (hole === "size") [discarded, lastDiscarded] = [discarded + count, after];
    }
  }
  return { frames, discarded, lastDiscarded, bytes: frames.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Every accepted message is where it was put, or inside a hole that says why it is not; nothing else is there. */
function check(subject: Subject): void {
  for (const of of lanes) {
    const accepted = subject.accepted[of];
    const { pruned, last } = subject.store.position(of as QueueLane);
    // with its log cut, a queue may not know that it deleted; it never forgets a number that it gave
    expect(last, `${of}: numbers`).toBe(accepted.length);
    let expected = pruned + 1;
    for (let after = 0; ; ) {
      const frames = subject.store.frames(of, after, { frames: 50, bytes: 1e9 });
      if (frames.length === 0) break;
      for (const frame of frames) {
        expect(frame.first, `${of}: no gap`).toBe(expected);
        expected = frame.first + frame.count;
        after = expected - 1;
        if (frame.hole === undefined) {
          const lines = decodeLines(frame.events, frame.count);
          expect(lines, `${of} from ${frame.first}`).toEqual(accepted.slice(frame.first - 1, frame.first - 1 + frame.count));
        } else if (frame.hole === "damaged") expect(subject.cut, `${of}: damage only where the log was cut`).toBe(true);
        else expect(`${of} ${frame.hole}`).toBe("telemetry size");
      }
    }
    expect(expected, `${of}: up to its end`).toBe(last + 1);
  }
  const { storedBytes } = laneOf(subject.store, "telemetry");
  expect(storedBytes).toBeGreaterThanOrEqual(0);
}

function live(steps: readonly Step[]): void {
  using folder = temporaryFolder();
  const subject = new Subject(folder.path);
  try {
    for (const action of steps) subject.apply(action);
    check(subject);
    subject.apply({ do: "crash", torn: 100 });
    check(subject);
  } finally {
    subject.store.close();
  }
}

it("holds what it accepted, in order, or says what is missing, whatever happens to it", () => {
  // a batch that is larger than its lane's whole budget
  const tooLarge: Step[] = [
    { do: "configure", kib: 8, recovery: 0, sealed: false },
    { do: "maintain" },
    { do: "full", pages: 0 },
  ];
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), live), { numRuns: 60, examples: [[tooLarge]] });
});

it("keeps the samples to their budget: the oldest go, no more than is needed, and their ranges say so", () => {
  const small = { do: "configure", kib: 16, recovery: 3600, sealed: false } as const;
  fc.assert(
    fc.property(fc.array(budgetStep, { minLength: 10, maxLength: 40 }), (steps) => live([small, ...steps])),
    { numRuns: 30, endOnFailure: true },
  );
});
