import { connect, createServer, type Socket } from "node:net";

/** A stretch of network between a gateway and central that can be taken away. */
export interface LinkProxy {
  /** `http://127.0.0.1:port`, to be used in place of the target. */
  readonly url: string;
  readonly port: number;
  readonly isCut: boolean;
  /** Sockets that hang in it, of both sides. */
  readonly connections: number;
  /**
   * Ends every connection at once. `refused`: new ones are reset. `blackhole`: new ones are taken and never answered, which is
   * what a plant behind a dead line sees.
   */
  cut(how?: "refused" | "blackhole"): void;
  restore(): void;
  stop(): Promise<void>;
}

type Mode = "open" | "refused" | "blackhole";

/** Forwards TCP from a port of 127.0.0.1 (0: any free one) to `target`, an `http:` address. */
export async function startLinkProxy(options: { target: string; port?: number }): Promise<LinkProxy> {
  const target = new URL(options.target);
  const sockets = new Set<Socket>();
  let mode: Mode = "open";

  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };
  const dropAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };

  const server = createServer((inner) => {
    keep(inner);
    if (mode === "refused") {
      inner.resetAndDestroy();
      return;
    }
    if (mode === "blackhole") {
      inner.resume();
      return;
    }
    const outer = connect({ host: target.hostname, port: Number(target.port) });
    keep(outer);
    inner.on("close", () => outer.destroy());
    outer.on("close", () => inner.destroy());
    inner.pipe(outer);
    outer.pipe(inner);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    get isCut() {
      return mode !== "open";
    },
    get connections() {
      return sockets.size;
    },
    cut: (how = "blackhole") => {
      mode = how;
      dropAll();
    },
    restore: () => {
      mode = "open";
      // whoever hangs in the dead line has to dial again
      dropAll();
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        dropAll();
      }),
  };
}
