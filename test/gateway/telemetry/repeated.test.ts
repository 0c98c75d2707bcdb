import { expect, it } from "vitest";
import { Repeated } from "../../../gateway/telemetry/repeated.ts";
import { systemClock } from "../../../protocol/index.ts";

function open() {
  const told: unknown[] = [];
  const ends = new AbortController();
  let wake = (): void => {};
  const clock = {
    ...systemClock,
    sleep: (_ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve) => {
        wake = resolve;
        signal?.addEventListener("abort", () => resolve());
      }),
  };
  const repeated = new Repeated({ clock, signal: ends.signal, tell: ({ n }, again) => told.push([n, again]) });
  const pass = async (): Promise<void> => {
    wake();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { repeated, told, ends, pass };
}

it("is told at once, then once for all that came meanwhile, and at once again when it had ceased", async () => {
  const { repeated, told, pass } = open();
  for (let n = 1; n <= 1000; n++) repeated.note({ n });
  expect(told).toEqual([[1, 0]]);
  await pass();
  repeated.note({ n: 1001 });
  expect(told.slice(1)).toEqual([[1000, 999]]);
  await pass();
  expect(told.slice(2)).toEqual([[1001, 1]]);
  await pass();
  repeated.note({ n: 1002 });
  expect(told.slice(3)).toEqual([[1002, 0]]);
});

it("tells what was not told yet when it ends", async () => {
  const { repeated, told, ends, pass } = open();
  repeated.note({ n: 1 });
  repeated.note({ n: 2 });
  ends.abort();
  await pass();
  expect(told).toEqual([
    [1, 0],
    [2, 1],
  ]);
});
