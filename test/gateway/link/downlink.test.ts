import { join } from "node:path";
import { expect, it } from "vitest";
import { runDownlink } from "../../../gateway/link/downlink.ts";
import { LinkProgress } from "../../../gateway/link/progress.ts";
import type { Session } from "../../../gateway/link/session.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { QueueReader } from "../../../gateway/queue/read.ts";
import type { Logger } from "../../../gateway/telemetry/logger.ts";
import { makeEvent, systemClock } from "../../../protocol/index.ts";
import { orderPayload } from "../../support/documents.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { until } from "../../support/process.ts";

const origin = { id: "e1", site: "hq", connector: "erp", recordedAt: 0 };
const order = (id: number) => makeEvent("production-order.released", orderPayload({ id }), { ...origin, id: `e${id}` });

/** A downlink in a session whose polls are answered by the test; each poll says what it acknowledges. */
async function openDownlink(bodies: readonly unknown[], position?: string) {
  const folder = temporaryFolder();
  const file = join(folder.path, "queue.sqlite");
  const queue = await Queue.open({ path: file, site: "lyon", onFailure: () => {} });
  if (position !== undefined) await queue.commit({ cursors: [{ name: "downlink", value: position }] });
  const acknowledged: unknown[] = [];
  const said: string[] = [];
  const desired: unknown[] = [];
  const session = {
    state: { kind: "online" },
    online: async () => ({ kind: "online", session: "s1", watermarks: [] }),
    isCurrent: () => true,
    centralNow: () => 0,
    send: async (_: string, { json }: { json: { ack: unknown } }) => {
      acknowledged.push(json.ack);
      const body = bodies[acknowledged.length - 1] ?? bodies.at(-1);
      if (acknowledged.length > bodies.length) await systemClock.sleep(20);
      return { kind: "ok", status: 200, body, text: "" };
    },
  } as unknown as Session;
  const note = ({ event }: { event: string }) => void said.push(event);
  const log = { debug: () => {}, info: note, warn: note, error: note } as unknown as Logger;
  const stopping = new AbortController();
  const progress = new LinkProgress(systemClock, log);
  const deps = {
    site: "lyon",
    queue,
    session,
    progress,
    clock: systemClock,
    log,
    knownRevision: () => 1,
    knownSecrets: () => "",
  };
  const running = runDownlink({ ...deps, onDesired: (wanted) => void desired.push(wanted), onAsks: () => {} }, stopping.signal);
  const reading = <Value>(read: (reader: QueueReader) => Value): Value => {
    using reader = new QueueReader(file);
    return read(reader);
  };
  return {
    acknowledged,
    said,
    desired,
    inbound: () => reading((reader) => [...reader.messages("inbound")].map(({ line }) => JSON.parse(line).id as string)),
    letters: () => reading((reader) => reader.deadLetters.search({ limit: 10 })),
    async [Symbol.asyncDispose](): Promise<void> {
      stopping.abort();
      await running;
      await queue.close();
      folder[Symbol.dispose]();
    },
  };
}
const rest = { epoch: "e", incarnation: "i", desired: { revision: 1 } };

it("takes all messages of an answer but the one that it does not understand, which is kept as a dead letter", async () => {
  const messages = [
    { sequence: 1, event: order(1), waitedMs: 0 },
    { sequence: 2, event: { type: 7 }, waitedMs: 0 },
    { sequence: 3, waitedMs: 0 },
    { sequence: 4, event: order(4), waitedMs: "long", priority: "high" },
  ];
  await using open = await openDownlink([
    { ...rest, messages },
    { ...rest, messages: [] },
  ]);
  await until(
    () => open.acknowledged.length,
    (polls) => polls > 2,
  );
  expect(open.inbound()).toEqual(["e1", "e4"]);
  expect(
    open
      .letters()
      .map(({ place, code }) => [place, code])
      .toSorted(),
  ).toEqual([
    ["downlink 2", "INPUT_INVALID"],
    ["downlink 3", "INPUT_INVALID"],
  ]);
  expect(open.acknowledged.slice(0, 2)).toEqual([{ sequence: 0 }, { epoch: "e", sequence: 4 }]);
});

it("tells a person once that nothing which central sends can be taken, and that it can again", async () => {
  await using open = await openDownlink([{ ...rest }, { ...rest }, { ...rest, messages: [] }]);
  await until(
    () => open.said,
    (said) => said.length >= 2,
  );
  expect(open.said).toEqual(["downlink.poll.refused", "downlink.poll.recovered"]);
});

it("passes on what central wants with its digest, also under the number that is known", async () => {
  const digest = "ab".repeat(32);
  const answers = [{ revision: 1, digest }, { revision: 1, digest: "of another kind" }, { revision: 1 }];
  await using open = await openDownlink(answers.map((desired) => ({ ...rest, messages: [], desired })));
  await until(
    () => open.desired.length,
    (answered) => answered >= answers.length,
  );
  expect(open.desired.slice(0, answers.length)).toEqual([{ revision: 1, digest }, { revision: 1 }, { revision: 1 }]);
});

it.each([
  ["is whole", '{"epoch":"e","sequence":7}', { epoch: "e", sequence: 7 }],
  ["is damaged on disk", '{"epoch":"e"$"sequence":7}', { sequence: 0 }],
  ["has another form", '{"epoch":"e","sequence":"7"}', { sequence: 0 }],
])(
  "acknowledges at its start what its note says, which %s: one that cannot be read is no reason to stand still",
  async (_, position, first) => {
    await using open = await openDownlink([{ ...rest, messages: [{ sequence: 8, event: order(8), waitedMs: 0 }] }], position);
    await until(
      () => open.acknowledged.length,
      (polls) => polls >= 2,
    );
    expect(open.acknowledged.slice(0, 2)).toEqual([first, { epoch: "e", sequence: 8 }]);
    expect(open.inbound()).toEqual(["e8"]);
  },
);
