import { createServer } from "node:http";
import { expect, it } from "vitest";
import { startLinkProxy } from "../../support/link-proxy.ts";
import { until } from "./systems.ts";

async function startTarget() {
  const server = createServer((_request, response) => response.end("hello"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve()).closeAllConnections()),
  };
}

it("passes requests on, refuses them while the link is cut, and passes them on again", async () => {
  await using target = await startTarget();
  const link = await startLinkProxy({ target: target.url });
  try {
    expect(await (await fetch(link.url)).text()).toBe("hello");
    link.cut("refused");
    await expect(fetch(link.url)).rejects.toThrow();
    link.restore();
    expect(await (await fetch(link.url)).text()).toBe("hello");
  } finally {
    await link.stop();
  }
});

it("leaves a request without an answer in a dead line, and ends it when the line is back", async () => {
  await using target = await startTarget();
  const link = await startLinkProxy({ target: target.url });
  try {
    link.cut("blackhole");
    const giveUp = new AbortController();
    const abandoned = fetch(link.url, { signal: giveUp.signal });
    abandoned.catch(() => {});
    await until(() => link.connections > 0);
    giveUp.abort();
    await expect(abandoned).rejects.toThrow(/abort/i);
    // the abandoned one goes, so that what hangs next is the second request
    link.cut("blackhole");
    await until(() => link.connections === 0);
    const hanging = fetch(link.url);
    hanging.catch(() => {});
    await until(() => link.connections > 0);
    link.restore();
    await expect(hanging).rejects.toThrow(/fetch failed/);
  } finally {
    await link.stop();
  }
});
