import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Session } from "../../../gateway/link/session.ts";
import type { LinkAnswer, Transport } from "../../../gateway/link/transport.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { PlantgateError, toProblem } from "../../../protocol/index.ts";
import { settableClock } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";

/** The longest wait for central's word. */
const mostMs = 60_000;

/** A gateway's start, with whatever becomes of its first hello. Running time passes as the test says. */
async function starting(hello: () => Promise<LinkAnswer>, { runs = true } = {}) {
  const folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  const clock = settableClock();
  clock.hold();
  const order: string[] = [];
  const log = openLogger({ level: "silent", site: "lyon" });
  const transport = { close: () => {}, send: hello } as unknown as Transport;
  const onFenced = async (): Promise<void> => void order.push("deliveries stop");
  const session = new Session({ site: "lyon", version: "0", transport, queue, clock, log, onFenced }, undefined);
  const stopping = new AbortController();
  const word = session.firstWord(mostMs, stopping.signal).then(() => order.push("deliveries begin"));
  let running: Promise<void> | undefined;
  const run = (): void => {
    running = session.run(stopping.signal);
  };
  if (runs) run();
  return {
    run,
    session,
    clock,
    order,
    word,
    async [Symbol.asyncDispose](): Promise<void> {
      stopping.abort();
      await running;
      await queue.close();
      folder[Symbol.dispose]();
    },
  };
}

/** The link's state was said anew, as after each hello that fails. */
function changed(session: Session): Promise<void> {
  return new Promise((resolve) => {
    const stop = session.onChange(() => {
      stop();
      resolve();
    });
  });
}

describe("deliveries at a gateway's start", () => {
  it("are stopped before they begin where central says that this is a copy that was left behind", async () => {
    const problem = toProblem("key-unknown", "moved to other hardware", { moved: true });
    await using start = await starting(async () => ({ kind: "problem", problem, retryAfterMs: undefined }));
    await start.word;
    expect(start.order).toEqual(["deliveries stop", "deliveries begin"]);
    expect(start.session.state).toMatchObject({ kind: "fenced" });
  });

  it("are stopped before they begin where central is reached only later, as the network of a machine that was just switched on", async () => {
    const problem = toProblem("key-unknown", "moved to other hardware", { moved: true });
    let asked = 0;
    await using start = await starting(async () => {
      if (++asked === 1) throw new PlantgateError("PEER_UNREACHABLE", "network is unreachable");
      return { kind: "problem", problem, retryAfterMs: undefined };
    });
    await start.word;
    expect(start.order).toEqual(["deliveries stop", "deliveries begin"]);
    expect(asked).toBe(2);
  });

  it("begin after the longest wait where central is not reached, and from then on at once: the plant runs on", async () => {
    await using away = await starting(async () => {
      throw new PlantgateError("PEER_UNREACHABLE", "connection refused");
    });
    await changed(away.session);
    expect(away.session.state).toMatchObject({ kind: "offline", reason: expect.stringContaining("refused") });
    away.clock.pass(mostMs - 1);
    await changed(away.session);
    expect(away.order).toEqual([]);
    away.clock.pass(1);
    await away.word;
    expect(away.order).toEqual(["deliveries begin"]);
    // a connector that is started later waits for nothing
    const later = away.session.firstWord(mostMs, new AbortController().signal).then(() => "at once");
    expect(await Promise.race([later, changed(away.session).then(() => "after another hello")])).toBe("at once");
  });

  it.each(["busy", "limited", "token-expired", "conflict"] as const)(
    "wait on where central's answer (%s) is about the moment and not about us: too much to do, a clock that is wrong",
    async (code) => {
      await using start = await starting(async () => ({ kind: "problem", problem: toProblem(code), retryAfterMs: undefined }));
      await changed(start.session);
      await setImmediate();
      expect(start.session.state).toMatchObject({ kind: "offline" });
      expect(start.order).toEqual([]);
      start.clock.pass(mostMs);
      await start.word;
      expect(start.order).toEqual(["deliveries begin"]);
    },
  );

  it("begin at once where central denies us: the plant runs on", async () => {
    const problem = toProblem("key-unknown");
    await using denied = await starting(async () => ({ kind: "problem", problem, retryAfterMs: undefined }));
    await denied.word;
    expect(denied.session.state).toMatchObject({ kind: "denied" });
    expect(denied.order).toEqual(["deliveries begin"]);
  });

  it("wait from the first hello on, however long the gateway took to come so far", async () => {
    const never = Promise.withResolvers<LinkAnswer>();
    const asked = Promise.withResolvers<void>();
    const hello = (): Promise<LinkAnswer> => {
      asked.resolve();
      return never.promise;
    };
    await using start = await starting(hello, { runs: false });
    start.clock.pass(10 * mostMs);
    start.run();
    await asked.promise;
    start.clock.pass(mostMs - 1);
    await setImmediate();
    expect(start.order).toEqual([]);
    start.clock.pass(1);
    await start.word;
    never.reject(new PlantgateError("PEER_UNREACHABLE", "the test is over"));
  });

  it("wait no longer than they may where the way to central is silent", async () => {
    const never = Promise.withResolvers<LinkAnswer>();
    const asked = Promise.withResolvers<void>();
    await using start = await starting(() => {
      asked.resolve();
      return never.promise;
    });
    await asked.promise;
    expect(start.order).toEqual([]);
    start.clock.pass(mostMs);
    await start.word;
    expect(start.order).toEqual(["deliveries begin"]);
    never.reject(new PlantgateError("PEER_UNREACHABLE", "the test is over"));
  });
});
