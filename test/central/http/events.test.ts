import { expect, it, vi } from "vitest";
import { Overview } from "../../../central/site/overview.ts";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { paced } from "../../support/clock.ts";
import { until } from "../../support/process.ts";

/** An open stream of events; `sites`: how many each event told of. */
async function openStream({ url, adminToken }: TestCentral) {
  const ending = new AbortController();
  const headers = { authorization: `Bearer ${adminToken}` };
  const answer = await fetch(`${url}/v1/events`, { headers, signal: ending.signal });
  const sites: number[] = [];
  const reading = (async () => {
    let text = "";
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      const events = (text + chunk).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) sites.push(JSON.parse(event.slice(event.indexOf("data: ") + 6)).sites.length);
    }
  })().catch(() => {});
  return {
    sites,
    async [Symbol.asyncDispose](): Promise<void> {
      ending.abort();
      await reading;
    },
  };
}

it("looks at the sites once a second for all who watch them, and tells each of every change", async () => {
  // its seconds are a tenth as long
  const clock = paced(10);
  await using central = await startTestCentral({ parts: { clock } });
  const looks = vi.spyOn(Overview.prototype, "sites");
  try {
    await using stack = new AsyncDisposableStack();
    const streams: Awaited<ReturnType<typeof openStream>>[] = [];
    for (let n = 0; n < 12; n++) streams.push(stack.use(await openStream(central)));
    await until(
      () => streams.map(({ sites }) => sites),
      (seen) => seen.every(({ length }) => length > 0),
    );
    looks.mockClear();
    const began = clock.monotonic();
    await central.addSite("plant-a");
    await until(
      () => streams.map(({ sites }) => sites.at(-1)),
      (seen) => seen.every((count) => count === 1),
    );
    // a stream that is opened later is told at once
    await using late = await openStream(central);
    await until(
      () => late.sites,
      ([count]) => count === 1,
    );
    await clock.sleep(2500);
    const seconds = (clock.monotonic() - began) / 1000;
    expect(looks.mock.calls.length).toBeLessThanOrEqual(Math.ceil(seconds) + 2);
    expect(streams.map(({ sites }) => sites.filter((count) => count === 1).length)).toEqual(streams.map(() => 1));
  } finally {
    looks.mockRestore();
  }
});
