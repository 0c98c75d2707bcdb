import { once } from "node:events";
import type { Server as HttpServer } from "node:http";
import { type AddressInfo, createServer, type ListenOptions, type Server } from "node:net";
import { PlantgateError } from "../../protocol/index.ts";

export interface Listening {
  readonly port: number;
  /** Takes no more connections; resolves once those that are open have ended. */
  close(): Promise<void>;
}

/**
 * Connections that wait to be accepted. Those beyond it would not be refused but tried again by their kernels after 1, 3, 7, … 31 seconds.
 */
const backlog = 4096;
/**
 * libuv accepts one connection of a socket in each turn of the event loop. When all plants come back at once, turns are long and the last
 * of a few hundred connections would wait half a minute; so several sockets share the port, where the kernel spreads connections over them.
 */
const sockets = process.platform === "linux" ? 64 : 1;

/**
 * Listens with an HTTP server. Connections beyond `maxConnections` are closed as they come, whichever socket accepted them.
 * @throws PlantgateError PEER_UNREACHABLE when the address is taken or not ours
 */
export async function listen(
  http: HttpServer,
  address: { readonly host: string; readonly port: number; readonly maxConnections: number },
): Promise<Listening> {
  const { host } = address;
  let open = 0;
  http.on("connection", (socket) => {
    open++;
    socket.once("close", () => open--);
    if (open > address.maxConnections) socket.destroy();
  });
  const more: Server[] = [];
  try {
    // a socket that shares its port may share it with a stranger's: whether the port is free is asked by one that does not
    const port = await claimPort(address);
    await listenOn(http, { host, port, backlog, ...(sockets > 1 ? { reusePort: true } : {}) });
    while (more.length < sockets - 1) {
      const server = createServer({ noDelay: true }, (socket) => void http.emit("connection", socket));
      more.push(server);
      await listenOn(server, { host, port, backlog, reusePort: true });
    }
    return { port, close: () => closeAll([http, ...more]) };
  } catch (cause) {
    closeAll([http, ...more]);
    throw new PlantgateError("PEER_UNREACHABLE", `cannot listen on ${host}:${address.port}`, { cause });
  }
}

async function claimPort({ host, port }: { readonly host: string; readonly port: number }): Promise<number> {
  const probe = createServer();
  await listenOn(probe, { host, port });
  const { port: given } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return given;
}

async function listenOn(server: Server, options: ListenOptions): Promise<void> {
  const failed = new AbortController();
  try {
    const listening = once(server, "listening", { signal: failed.signal });
    server.listen(options);
    await listening;
  } finally {
    failed.abort();
  }
}

/** A connection belongs to the socket that accepted it, whoever answers on it. */
async function closeAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
}
