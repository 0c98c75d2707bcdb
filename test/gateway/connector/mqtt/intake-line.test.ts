import { expect, it } from "vitest";
import type { Input } from "../../../../gateway/connector/connector.ts";
import { IntakeLine } from "../../../../gateway/connector/mqtt/intake-line.ts";
import { type Clock, PlantgateError } from "../../../../protocol/index.ts";
import { until } from "../../../support/process.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";

const input = (body: string, more: Partial<Input> = {}): Input => ({
  origin: { kind: "topic", topic: "t", retained: false },
  body: Buffer.from(body),
  receivedAt: 0,
  ...more,
});
const isOrder = ({ body }: Input): boolean => Buffer.from(body).toString().startsWith("order");

/** A line whose pauses last until `room` is called. */
function open(inlet = new RecordingInlet()) {
  const ended = new AbortController();
  const pauses: (() => void)[] = [];
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: (_ms, signal) =>
      new Promise((resolve) => {
        pauses.push(resolve);
        signal?.addEventListener("abort", () => resolve());
      }),
  };
  const events: string[] = [];
  const line = new IntakeLine({
    inlet,
    clock,
    signal: ended.signal,
    onHeld: () => events.push("held"),
    onFreed: () => events.push("freed"),
  });
  const done: string[] = [];
  const take = (body: string, more?: Partial<Input>, before?: () => Promise<void>): void =>
    line.take(
      input(body, more),
      (error) => done.push(error === undefined ? body : `${body} ${error instanceof PlantgateError ? error.code : error}`),
      before,
    );
  const room = (): void => {
    for (const resume of pauses.splice(0)) resume();
  };
  return { inlet, take, done, events, ended, pauses, room };
}
const settled = (done: readonly string[], count: number) =>
  until(
    () => done.length,
    (length) => length >= count,
  );

it("gives on together what gathers while a flush is under way, and reports in order", async () => {
  const { inlet, take, done } = open();
  const flush = inlet.close();
  take("a");
  await until(
    () => inlet.calls.length,
    (calls) => calls === 1,
  );
  for (const body of ["b", "c", "d"]) take(body);
  expect(done).toEqual([]);
  flush();
  await settled(done, 4);
  expect(done).toEqual(["a", "b", "c", "d"]);
  expect(inlet.calls.map((call) => call.length)).toEqual([1, 3]);
});

it("waits for the slow one before it, and gives nothing on out of order", async () => {
  const inlet = new RecordingInlet();
  const slow = Promise.withResolvers<void>();
  const prepare = inlet.prepare.bind(inlet);
  Object.assign(inlet, { prepare: (each: Input) => (isOrder(each) ? slow.promise.then(() => prepare(each)) : prepare(each)) });
  const { take, done } = open(inlet);
  for (const body of ["a", "order", "b"]) take(body);
  await settled(done, 1);
  expect(inlet.bodies).toEqual(["a"]);
  slow.resolve();
  await settled(done, 3);
  expect(inlet.bodies).toEqual(["a", "order", "b"]);
});

it("holds at what the queue has no room for, takes what comes before it, and goes on by itself (P6)", async () => {
  const { inlet, take, done, events, pauses, room } = open();
  inlet.full = isOrder;
  for (const body of ["s1", "s2", "s3", "s4", "s5", "order", "s6"]) take(body);
  await until(
    () => pauses.length,
    (count) => count === 1,
  );
  // samples and orders are refused separately
  expect(done).toEqual(["s1", "s2", "s3", "s4", "s5"]);
  expect(events).toEqual(["held"]);
  take("s7");
  room();
  await until(
    () => pauses.length,
    (count) => count === 1,
  );
  expect(done).toHaveLength(5);
  inlet.full = undefined;
  room();
  await settled(done, 8);
  expect(done).toEqual(["s1", "s2", "s3", "s4", "s5", "order", "s6", "s7"]);
  expect(inlet.bodies).toEqual(done);
  expect(events).toEqual(["held", "held", "freed"]);
});

it("maps anew what was held: it would carry the time of its first try", async () => {
  const { inlet, take, done, pauses, room } = open();
  const prepared: string[] = [];
  const prepare = inlet.prepare.bind(inlet);
  Object.assign(inlet, {
    prepare: (each: Input) => {
      prepared.push(Buffer.from(each.body).toString());
      return prepare(each);
    },
  });
  inlet.failure = "QUEUE_FULL";
  take("a");
  await until(
    () => pauses.length,
    (count) => count === 1,
  );
  take("b");
  inlet.failure = undefined;
  room();
  await settled(done, 2);
  expect(prepared).toEqual(["a", "a", "b"]);
});

it("breaks at any other failure: nothing behind it is written or acknowledged", async () => {
  const { inlet, take, done } = open();
  const flush = inlet.close();
  take("a");
  await until(
    () => inlet.calls.length,
    (calls) => calls === 1,
  );
  take("b");
  inlet.failure = "DISK_FAILED";
  flush();
  await settled(done, 2);
  inlet.failure = undefined;
  take("c");
  expect(done).toEqual(["a DISK_FAILED", "b DISK_FAILED", "c DISK_FAILED"]);
  expect(inlet.calls).toHaveLength(1);
});

it("gives up what is held when the connection ends", async () => {
  const { inlet, take, done, ended, pauses } = open();
  inlet.failure = "QUEUE_FULL";
  take("a");
  await until(
    () => pauses.length,
    (count) => count === 1,
  );
  inlet.failure = undefined;
  ended.abort();
  await settled(done, 1);
  expect(done).toEqual(["a STOPPED"]);
  expect(inlet.bodies).toEqual([]);
});

it("writes an exactly-once input alone, and runs what has to come before it when all earlier ones are flushed", async () => {
  const { inlet, take, done } = open();
  const seen: string[][] = [];
  take("a");
  take("b", { exactlyOnce: { client: "c", packetId: 1, content: "b" } }, async () => {
    seen.push([...inlet.bodies]);
  });
  take("c");
  await settled(done, 3);
  expect(seen).toEqual([["a"]]);
  expect(inlet.calls.map((call) => call.length)).toEqual([1, 1, 1]);
});
