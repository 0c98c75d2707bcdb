import { createServer } from "node:net";

/** Below the range that the kernel takes for outgoing connections: while a process is down nobody else gets its port. */
const range = { first: 20_000, last: 32_000 } as const;
const given = new Set<number>();

/** A port that nobody has, and that no other part of this run is given. */
export async function claimPort(): Promise<number> {
  for (;;) {
    const port = range.first + Math.floor(Math.random() * (range.last - range.first));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
