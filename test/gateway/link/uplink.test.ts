import { join } from "node:path";
import { expect, it } from "vitest";
import { LaneShares } from "../../../gateway/link/lane-shares.ts";
import { UplinkProgress } from "../../../gateway/link/progress.ts";
import { Session } from "../../../gateway/link/session.ts";
import type { LinkAnswer, LinkRequest, Transport } from "../../../gateway/link/transport.ts";
import { runUplink } from "../../../gateway/link/uplink.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { systemClock, toInstant, toProblem } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { until } from "../../support/process.ts";

/** The uplink of one message against a central that says of each batch what the test says. */
async function openUplink(answer: (batch: number) => LinkAnswer) {
  const folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  const seen = { hellos: 0, batches: 0 };
  const transport = {
    close: () => {},
    send: async (request: LinkRequest): Promise<LinkAnswer> => {
      if (!request.path.endsWith("/sessions")) return answer(++seen.batches);
      const body = {
        session: `s${++seen.hellos}`,
        incarnation: "i",
        leaseSeconds: 15,
        serverTime: toInstant(0),
        watermarks: [],
        recoveryPointSeconds: 0,
      };
      return { kind: "ok", status: 200, body, text: "" };
    },
  } as unknown as Transport;
  const log = openLogger({ level: "silent", site: "lyon" });
  const clock = systemClock;
  const session = new Session({ site: "lyon", version: "0", transport, queue, clock, log, onFenced: async () => {} }, undefined);
  const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 });
  const progress = new UplinkProgress(clock, log);
  const stopping = new AbortController();
  const { signal } = stopping;
  const uplink = { site: "lyon", queue, session, shares, progress, clock, log };
  const loops = [session.run(signal), runUplink(uplink, "transaction", signal)];
  await queue.commit({ messages: [{ lane: "transaction", line: "{}" }] });
  return {
    session,
    seen,
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
    5000,
  );
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
