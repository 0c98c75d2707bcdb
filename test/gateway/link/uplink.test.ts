import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect, it } from "vitest";
import { LaneShares } from "../../../gateway/link/lane-shares.ts";
import { LinkLimits } from "../../../gateway/link/link-limits.ts";
import { LinkProgress } from "../../../gateway/link/progress.ts";
import { Session } from "../../../gateway/link/session.ts";
import type { LinkAnswer, LinkRequest, Transport } from "../../../gateway/link/transport.ts";
import { runUplink } from "../../../gateway/link/uplink.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import {
  type Clock,
  type Hello,
  linkPolicy,
  PlantgateError,
  systemClock,
  toInstant,
  toProblem,
} from "../../../protocol/index.ts";
import { settableClock } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { until } from "../../support/process.ts";

/** The uplink of one message against a central that says of each batch what the test says. */
async function openUplink(
  answer: (batch: number) => LinkAnswer | Promise<LinkAnswer>,
  clock: Clock = systemClock,
  isReachable = (): boolean => true,
  /** What central says at the beginning that it has of the lane; without it nothing. */
  has?: number,
) {
  const folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  const seen = { hellos: 0, batches: 0, firsts: [] as (string | undefined)[] };
  const transport = {
    close: () => {},
    send: async (request: LinkRequest): Promise<LinkAnswer> => {
      if (!request.path.endsWith("/sessions")) {
        seen.firsts.push(request.headers?.["plantgate-first-sequence"]);
        return answer(++seen.batches);
      }
      if (!isReachable()) throw new PlantgateError("PEER_UNREACHABLE", "nobody is there");
      const body = {
        session: `s${++seen.hellos}`,
        incarnation: "i",
        leaseSeconds: 15,
        serverTime: toInstant(0),
        watermarks: (request.json as Hello).epochs.flatMap(({ lane, epoch }) =>
          has === undefined || lane !== "transaction" ? [] : [{ lane, epoch, watermark: has }],
        ),
        recoveryPointSeconds: 0,
      };
      return { kind: "ok", status: 200, body, text: "" };
    },
  } as unknown as Transport;
  const log = openLogger({ level: "silent", site: "lyon" });
  const session = new Session({ site: "lyon", version: "0", transport, queue, clock, log, onFenced: async () => {} }, undefined);
  const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 });
  const progress = new LinkProgress(clock, log);
  const stopping = new AbortController();
  const { signal } = stopping;
  const uplink = { site: "lyon", queue, session, shares, limits: new LinkLimits(shares), progress, clock, log };
  const loops = [session.run(signal), runUplink(uplink, "transaction", signal)];
  await queue.commit({ messages: [{ lane: "transaction", line: "{}" }] });
  return {
    session,
    seen,
    progress,
    queue,
    async [Symbol.asyncDispose](): Promise<void> {
      stopping.abort();
      await Promise.all(loops);
      await queue.close();
      folder[Symbol.dispose]();
    },
  };
}
const acknowledged: LinkAnswer = { kind: "ok", status: 200, body: { watermark: 1, incarnation: "i" }, text: "" };

it("asks a new session at once, however long the last one was told to wait", async () => {
  const busy: LinkAnswer = { kind: "problem", problem: toProblem("busy"), retryAfterMs: 300_000 };
  await using open = await openUplink((batch) => (batch === 1 ? busy : acknowledged));
  await until(
    () => open.seen.batches,
    (count) => count === 1,
  );
  open.session.renew("s1");
  await until(
    () => open.seen.batches,
    (count) => count === 2,
  );
});

it("is not stalled while nothing waits, however long, nor by the first message after that", async () => {
  const clock = settableClock();
  const second = Promise.withResolvers<LinkAnswer>();
  await using open = await openUplink((batch) => (batch === 1 ? acknowledged : second.promise), clock);
  await until(
    () => open.queue.position("transaction"),
    ({ acknowledged }) => acknowledged === 1,
  );
  clock.pass(3_600_000);
  // its loop may not have looked again yet
  await until(
    () => open.progress.stalled("transaction"),
    (reason) => reason === undefined,
  );
  clock.pass(3_600_000);
  expect(open.progress.stalled("transaction")).toBeUndefined();
  await open.queue.commit({ messages: [{ lane: "transaction", line: "{}" }] });
  await until(
    () => open.seen.batches,
    (count) => count === 2,
  );
  expect(open.progress.stalled("transaction")).toBeUndefined();
  clock.pass(21_000);
  expect(open.progress.stalled("transaction")).toMatch(/^central does not answer the batches that are under way/);
  second.resolve({ kind: "ok", status: 200, body: { watermark: 2, incarnation: "i" }, text: "" });
  await until(
    () => open.progress.stalled("transaction"),
    (reason) => reason === undefined,
  );
});

it("P2, rule 4: sends what central never acknowledged to this disk, though it has more of the lane: that may be another's", async () => {
  await using open = await openUplink(() => acknowledged, systemClock, undefined, 5);
  await until(
    () => open.queue.position("transaction"),
    ({ acknowledged }) => acknowledged === 1,
  );
  expect(open.seen.firsts).toEqual(["1"]);
});

it("begins ever fewer epochs where each of them is called a fork", async () => {
  const fork: LinkAnswer = { kind: "problem", problem: { ...toProblem("fork"), watermark: 0 }, retryAfterMs: undefined };
  await using open = await openUplink(() => fork);
  await until(
    () => open.seen.hellos,
    (count) => count >= 2,
  );
  await systemClock.sleep(2000);
  expect(open.seen.hellos).toBeLessThan(6);
});

/** Running time passes so many times as fast as it does, until it is calmed. */
function hasty(times: number): Clock & { calm(): void } {
  const { now, monotonic, sleep } = systemClock;
  let [pace, from, began] = [times, 0, monotonic()];
  const clock = {
    now,
    monotonic: () => from + (monotonic() - began) * pace,
    sleep: (ms: number, signal?: AbortSignal) => sleep(ms / pace, signal),
    calm() {
      [from, began, pace] = [clock.monotonic(), monotonic(), 1];
    },
  };
  return clock;
}

it.each([
  ["breaks off every batch", { answered: false }],
  ["answers every batch in central's place", { answered: true }],
])(
  "asks ever more rarely where something %s though hellos come through, and says that the lane is stalled",
  async (_, context) => {
    let passes = false;
    const clock = hasty(30);
    await using open = await openUplink(() => {
      if (passes) return acknowledged;
      throw new PlantgateError("PEER_UNREACHABLE", "the proxy takes nothing that is large", { context });
    }, clock);
    const stalled = await until(
      () => open.progress.stalled("transaction"),
      (reason) => reason !== undefined,
    );
    expect(stalled).toMatch(/^the proxy takes nothing that is large \(for \d+ s\)$/);
    expect(Number(/\d+/.exec(stalled ?? "")?.[0])).toBeGreaterThanOrEqual(20);
    expect(open.progress.stalledWays()).toMatchObject({ transaction: expect.stringContaining("the proxy") });
    await until(
      () => open.seen.batches,
      (batches) => batches > 2,
    );
    expect(open.seen.batches).toBeLessThan(30);
    // a session is not given up for what somebody else answers in central's place
    expect(open.seen.hellos).toBeLessThan(context.answered ? 2 : 30);
    passes = true;
    await until(
      () => open.progress.stalled("transaction"),
      (reason) => reason === undefined,
    );
  },
);

it("TRAPS 22: uses a link that returns at once, and does not take the time without one for a stall", async () => {
  const clock = hasty(30);
  const answered = Promise.withResolvers<LinkAnswer>();
  let isReachable = true;
  await using open = await openUplink(
    (batch) => {
      if (batch > 1) return answered.promise;
      isReachable = false;
      throw new PlantgateError("PEER_UNREACHABLE", "cut off");
    },
    clock,
    () => isReachable,
  );
  await until(
    () => open.seen.batches,
    (count) => count === 1,
  );
  await clock.sleep(40_000);
  clock.calm();
  isReachable = true;
  await until(
    () => open.seen.batches,
    (count) => count === 2,
  );
  expect(open.seen.hellos).toBe(2);
  expect(open.progress.stalled("transaction")).toBeUndefined();
  answered.resolve(acknowledged);
});

/** Samples that wait for a link which takes so many bytes a second, on a clock that only the test moves. */
async function openLimited(commits: number, link: object) {
  const folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  const clock = settableClock();
  clock.hold();
  for (let commit = 0; commit < commits; commit++) {
    const lines = Array.from({ length: 20 }, () => JSON.stringify({ noise: randomBytes(600).toString("hex") }));
    await queue.commit({ messages: lines.map((line) => ({ lane: "telemetry" as const, line })) });
  }
  const seen = { sent: [] as { at: number; bytes: number }[], watermark: 0 };
  const body = {
    session: "s",
    incarnation: "i",
    leaseSeconds: 15,
    serverTime: toInstant(0),
    watermarks: [],
    recoveryPointSeconds: 0,
  };
  const transport = {
    close: () => {},
    send: async ({ path, headers, body: sent }: LinkRequest): Promise<LinkAnswer> => {
      if (path.endsWith("/sessions")) return { kind: "ok", status: 200, body, text: "" };
      seen.sent.push({ at: clock.monotonic(), bytes: sent?.byteLength ?? 0 });
      const watermark = Number(headers?.["plantgate-first-sequence"]) + Number(headers?.["plantgate-count"]) - 1;
      seen.watermark = Math.max(seen.watermark, watermark);
      return { kind: "ok", status: 200, body: { watermark, incarnation: "i" }, text: "" };
    },
  } as unknown as Transport;
  const log = openLogger({ level: "silent", site: "lyon" });
  const session = new Session({ site: "lyon", version: "0", transport, queue, clock, log, onFenced: async () => {} }, undefined);
  const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 }, clock);
  const limits = new LinkLimits(shares);
  limits.configure({ link: linkPolicy.parse(link) });
  const progress = new LinkProgress(clock, log);
  const stopping = new AbortController();
  const { signal } = stopping;
  const loops = [
    session.run(signal),
    runUplink({ site: "lyon", queue, session, shares, limits, progress, clock, log }, "telemetry", signal),
  ];
  return {
    clock,
    seen,
    limits,
    progress,
    async [Symbol.asyncDispose](): Promise<void> {
      stopping.abort();
      await Promise.all(loops);
      await queue.close();
      folder[Symbol.dispose]();
    },
  };
}

it("keeps to so many bytes a second, whatever waits, and sends all of it", async () => {
  const perSecond = 32 * 1024;
  await using open = await openLimited(20, { bytesPerSecond: "32KiB", batch: { messages: 100 } });
  await until(
    () => {
      open.clock.pass(100);
      return open.seen.watermark;
    },
    (last) => last === 400,
  );
  const { sent } = open.seen;
  const largest = Math.max(...sent.map(({ bytes }) => bytes));
  expect(largest).toBeLessThanOrEqual(perSecond);
  for (const [index, from] of sent.entries()) {
    let bytes = 0;
    for (const to of sent.slice(index)) {
      bytes += to.bytes;
      expect(bytes).toBeLessThanOrEqual(perSecond + largest + ((to.at - from.at) / 1000) * perSecond + 1);
    }
  }
  expect(sent.length).toBeGreaterThan(4);
});

it("says that a lane waits because the configuration limits the link, and sends at once when it does not any more", async () => {
  await using open = await openLimited(20, { bytesPerSecond: "1KiB" });
  await until(
    () => open.seen.sent.length,
    (count) => count > 0,
  );
  // what went is more than a second brings, and is paid off for longer than that
  const sent = open.seen.sent.length;
  await until(
    () => {
      open.clock.pass(1000);
      return open.progress.stalled("telemetry") ?? "";
    },
    (reason) => reason.startsWith("the configuration limits what messages may take of the link"),
  );
  expect(open.seen.sent.length).toBeLessThan(sent + 4);
  open.limits.configure({});
  await until(
    () => open.seen.watermark,
    (last) => last === 400,
  );
  expect(open.progress.stalled("telemetry")).toBeUndefined();
});
