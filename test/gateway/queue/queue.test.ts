import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { decodeLines } from "../../../gateway/queue/frame.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import type { PlantgateError } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { fillLive, openLive } from "../../support/queue-life.ts";

const never = (error: unknown): never => {
  throw error;
};

it("resolves commits in the order in which they were asked for", async () => {
  using folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: never });
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      queue.commit({ messages: [{ lane: "transaction", line: `"${index}"` }] }).then(() => order.push(index)),
    ),
  );
  expect(order).toEqual(Array.from({ length: 200 }, (_, index) => index));
  const frames = await queue.frames("transaction", 0, { frames: 1000, bytes: 1e9 });
  expect(frames.reduce((sum, frame) => sum + frame.count, 0)).toBe(200);
  expect(frames.length).toBeLessThan(200);
  await queue.close();
});

it("keeps order and bytes of one turn's commits over many groups, in whatever script", async () => {
  using folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: never });
  // more groups than the worker is given at once
  const endings = ["", "é", "€", "😀", "\ud800"];
  const lines = Array.from(
    { length: 4000 },
    (_, index) => `"${index} ${"x".repeat(400 + (index % 200))}${endings[index % 97] ?? ""}"`,
  );
  const order: number[] = [];
  const commits = lines.map((line, index) =>
    // every tenth has to be judged, and goes another way
    queue
      .commit({
        messages: [{ lane: "telemetry", line, ...(index % 10 === 0 ? { repeat: { key: `k${index}`, hash: "h" } } : {}) }],
      })
      .then(() => order.push(index)),
  );
  // what is asked after them sees them
  await expect(queue.position("telemetry")).resolves.toMatchObject({ last: lines.length });
  await Promise.all(commits);
  expect(order).toEqual(lines.map((_, index) => index));
  const frames = await queue.frames("telemetry", 0, { frames: 1000, bytes: 1e9 });
  expect(frames.flatMap(({ events, count }) => decodeLines(events, count))).toEqual(lines.map((line) => line.toWellFormed()));
  await queue.close();
});

it.each(["éé", "€", "€€", "€€€", "😀", "x😀", "😀€"])(
  "keeps %s, which has more bytes than characters, alone in its group",
  async (text) => {
    using folder = temporaryFolder();
    const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: never });
    await queue.commit({ messages: [{ lane: "telemetry", line: `"${text}"` }] });
    const [frame] = await queue.frames("telemetry", 0, { frames: 1, bytes: 1e9 });
    expect(frame && decodeLines(frame.events, 1)).toEqual([`"${text}"`]);
    await queue.close();
  },
);

it("answers what is asked while it closes: before its end, or that it closes", async () => {
  using folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: never });
  const committed = queue.commit({ messages: [{ lane: "transaction", line: "{}" }] });
  const closing = queue.close();
  const before = queue.position("transaction");
  const late = Promise.allSettled([committed.then(() => queue.depth())]);
  await expect(before).resolves.toMatchObject({ last: 1 });
  await closing;
  // it came before the close or behind it
  expect(["fulfilled", "rejected"]).toContain((await late)[0].status);
  await expect(queue.disk()).rejects.toMatchObject({ code: "STOPPED" });
});

it("rejects what is asked behind the end of a close", async () => {
  using folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: never });
  const closing = queue.close();
  const asked = Promise.allSettled([queue.depth(), queue.position("bulk"), queue.cursor("c")]);
  await closing;
  const stopped = { status: "rejected", reason: { code: "STOPPED" } };
  expect(await asked).toMatchObject([stopped, stopped, stopped]);
});

it("tells listeners of a lane after the flush", async () => {
  using folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: never });
  const heard = new Promise<void>((resolve) => queue.onAppended("telemetry", resolve));
  await queue.commit({ messages: [{ lane: "telemetry", line: "{}" }] });
  await heard;
  await queue.close();
});

it("ends when frames that it reads are not where the file says, and the next start has them", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  const store = openLive(folder.path);
  const { last } = fillLive(store);
  store.close();
  const db = new DatabaseSync(path, { readOnly: true });
  const inner = "SELECT pageno FROM dbstat WHERE name = 'frames' AND pagetype = 'internal'";
  const start = ((db.prepare(inner).get()?.pageno as number) - 1) * 4096;
  db.close();
  // the rightmost leaf is another one from now on
  const file = readFileSync(path);
  file.writeUInt32BE(file.readUInt32BE(start + file.readUInt16BE(start + 12)), start + 8);
  writeFileSync(path, file);
  const failure = Promise.withResolvers<PlantgateError>();
  const queue = await Queue.open({ path, site: "lyon", onFailure: failure.resolve });
  const drain = async (from: Queue): Promise<number> => {
    for (let after = 0; ; ) {
      const end = (await from.frames("inbound", after, { frames: 50, bytes: 1e6 })).at(-1);
      if (!end) return after;
      after = end.first + end.count - 1;
    }
  };
  await expect(drain(queue)).rejects.toMatchObject({ code: "DISK_FAILED" });
  expect((await failure.promise).disposition).toBe("crash");
  const notices: string[] = [];
  const again = await Queue.open({ path, site: "lyon", onFailure: never, onNotice: ({ kind }) => notices.push(kind) });
  expect(notices).toContain("salvaged");
  expect(await drain(again)).toBe(last.inbound);
  await again.close();
});

it("fails what waits and everything after it when the file cannot be opened", async () => {
  using folder = temporaryFolder();
  const opening = Queue.open({ path: join(folder.path, "no such folder", "queue.sqlite"), site: "lyon", onFailure: never });
  await expect(opening).rejects.toMatchObject({ code: "DISK_FAILED" });
});

it("refuses commits after it was closed", async () => {
  using folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: never });
  await queue.close();
  await expect(queue.commit({})).rejects.toMatchObject({ code: "STOPPED" });
});
