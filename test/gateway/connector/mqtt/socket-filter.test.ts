import { duplexPair } from "node:stream";
import { expect, it } from "vitest";
import { SocketFilter } from "../../../../gateway/connector/mqtt/socket-filter.ts";
import { until } from "../../../support/process.ts";

class PassingFilter extends SocketFilter {
  protected override receive(chunk: Buffer): void {
    this.push(chunk);
  }
}

it("reads on when what lies there is taken, also one piece after the other", async () => {
  const [near, far] = duplexPair();
  using filter = Object.assign(new PassingFilter(near, { unflushed: 1, unflushedBytes: 1, untakenBytes: 100 }), {
    [Symbol.dispose]: () => filter.destroy(),
  });
  for (const sizeBytes of [40, 55, 10]) far.write(Buffer.alloc(sizeBytes));
  await until(
    () => filter.isReadingPaused,
    (isPaused) => isPaused,
  );
  const taken: (number | undefined)[] = [];
  while (filter.readableLength > 0) {
    taken.push((filter.read() as Buffer | null)?.length);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(taken).toEqual([40, 55, 10]);
  expect(filter.isReadingPaused).toBe(false);
});
