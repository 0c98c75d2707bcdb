import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";

interface Ports {
  readonly first: number;
  readonly last: number;
}

/** Fewer are too few for the many processes of a run. */
const fewest = 4000;
const range = portsBeside(kernelsPorts());
const given = new Set<number>();

/** A port that nobody has, and that no other part of this run is given. */
export async function claimPort(): Promise<number> {
  for (;;) {
    const port = range.first + Math.floor(Math.random() * (range.last - range.first + 1));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

/** Outside of what the kernel takes for outgoing connections: while a process is down nobody else gets its port. */
export function portsBeside(kernels: Ports): Ports {
  const places = [
    { first: 20_000, last: Math.min(32_000, kernels.first - 1) },
    { first: Math.max(20_000, kernels.last + 1), last: 65_535 },
    { first: 10_000, last: kernels.first - 1 },
  ];
  const place = places.find(({ first, last }) => last - first >= fewest);
  if (place) return place;
  throw new Error(
    `the kernel takes ports ${kernels.first} to ${kernels.last} for outgoing connections (net.ipv4.ip_local_port_range), which leaves the tests no ${fewest} in a row: narrow it`,
  );
}

/** Elsewhere than on Linux they begin where IANA has them begin. */
function kernelsPorts(): Ports {
  const file = "/proc/sys/net/ipv4/ip_local_port_range";
  if (!existsSync(file)) return { first: 49_152, last: 65_535 };
  const [first = 0, last = 0] = readFileSync(file, "utf8").trim().split(/\s+/).map(Number);
  return { first, last };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
