import { join } from "node:path";
import { expect, it } from "vitest";
import { BatchSize } from "../../../gateway/link/batch-size.ts";
import { LaneShares } from "../../../gateway/link/lane-shares.ts";
import { sendLeftEpochs } from "../../../gateway/link/left-epochs.ts";
import { LinkProgress } from "../../../gateway/link/progress.ts";
import type { OnlineLink, Session } from "../../../gateway/link/session.ts";
import type { LinkAnswer, LinkRequest } from "../../../gateway/link/transport.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { batchHeaders, systemClock, toProblem } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { pick } from "../../support/messages.ts";

const log = openLogger({ level: "silent", site: "lyon" });
const lane = "transaction";

async function openQueue() {
  const folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  return {
    queue,
    /** The lane goes on in another epoch, after so many messages of which central has acknowledged so many. */
    async leave(count: number, acknowledged = count): Promise<string> {
      const { epoch, last } = await queue.position(lane);
      for (let each = 0; each < count; each++)
        await queue.commit({ messages: [{ lane, line: JSON.stringify(pick("lyon", `T-${last + each + 1}`)) }] });
      if (acknowledged > 0) await queue.commit({ acknowledged: { lane, epoch, watermark: last + acknowledged } });
      await queue.openEpoch(lane);
      return epoch;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await queue.close();
      folder[Symbol.dispose]();
    },
  };
}

/** Sends what central lost behind message 2 of an epoch; `answer` is told where each batch begins. @returns where all of them began */
async function send(queue: Queue, epoch: string, answer: (first: number, batch: number) => LinkAnswer): Promise<number[]> {
  const sent: number[] = [];
  const session = {
    isCurrent: () => true,
    send: async (_: string, { headers = {} }: LinkRequest) => {
      const first = Number(headers[batchHeaders.firstSequence]);
      return answer(first, sent.push(first));
    },
  } as unknown as Session;
  const own = (await queue.position(lane)).epoch;
  const watermarks = [epoch, own].map((each) => ({ lane, epoch: each, watermark: each === epoch ? 2 : 0 }) as const);
  const online: OnlineLink = { kind: "online", session: "s", watermarks };
  const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 });
  const progress = new LinkProgress(systemClock, log);
  const limits = { batch: { bytes: 1_000_000, messages: 2 } };
  const way = { lane, online, size: new BatchSize(), pause: async () => {} } as const;
  await sendLeftEpochs({ site: "lyon", queue, session, shares, limits, progress, log }, way, new AbortController().signal);
  return sent;
}
const has = (watermark: number): LinkAnswer => ({ kind: "ok", status: 200, body: { watermark, incarnation: "i" }, text: "" });
const no = (code: "gap" | "fork" | "not-allowed", watermark?: number): LinkAnswer => ({
  kind: "problem",
  problem: { ...toProblem(code), ...(watermark === undefined ? {} : { watermark }) },
  retryAfterMs: undefined,
});

it("an epoch that was left comes again from where central has it, and from no later one, whatever central says of a gap", async () => {
  await using open = await openQueue();
  const epoch = await open.leave(6);
  expect(await send(open.queue, epoch, (first, batch) => (batch === 1 ? no("gap", 5) : has(first + 1)))).toEqual([3, 3, 5]);
});

it("an epoch that was left is given up where central has something else of it, and is not offered again", async () => {
  await using open = await openQueue();
  const epoch = await open.leave(6);
  expect(await send(open.queue, epoch, () => no("fork", 2))).toEqual([3]);
  expect(await open.queue.leftEpochs()).toEqual([]);
});

it("an epoch that was left, and that central refuses, waits for the next session: what follows it goes on", async () => {
  await using open = await openQueue();
  const epoch = await open.leave(6);
  expect(await send(open.queue, epoch, () => no("not-allowed"))).toEqual([3, 3, 3, 3, 3]);
  expect(await open.queue.leftEpochs()).toHaveLength(1);
});

it("an epoch that was left is not sent round and round to a central that says yes and gets no further", async () => {
  await using open = await openQueue();
  const epoch = await open.leave(6);
  await expect(send(open.queue, epoch, () => has(2))).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
});

it("of epochs that a lane has left the newest four are kept, and none of which central had nothing", async () => {
  await using open = await openQueue();
  const left = [await open.leave(1)];
  await open.leave(2, 0);
  expect((await open.queue.leftEpochs()).map(({ epoch }) => epoch)).toEqual(left);
  for (let each = 0; each < 5; each++) left.push(await open.leave(1));
  expect((await open.queue.leftEpochs()).map(({ epoch }) => epoch)).toEqual(left.slice(-4));
});
