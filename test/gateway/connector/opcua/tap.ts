import { connect, createServer, type Socket } from "node:net";

/** TCP between connector and server, in which the server's words can be lost on the way while both sides believe in the connection. */
export interface Tap extends AsyncDisposable {
  readonly endpoint: string;
  /** Connections dialled so far. */
  readonly dialled: number;
  /** Chunks that came from the server, swallowed ones included. */
  readonly chunks: number;
  /** From now on what the server says is lost. */
  swallow(): void;
  /** Resets all connections; new ones pass again. */
  drop(): void;
}

export async function startTap(target: string): Promise<Tap> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let dialled = 0;
  let chunks = 0;
  let swallowing = false;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };
  const server = createServer((inner) => {
    dialled += 1;
    const outer = connect(Number(port), hostname);
    keep(inner);
    keep(outer);
    inner.on("close", () => outer.destroy());
    outer.on("close", () => inner.destroy());
    inner.pipe(outer);
    outer.on("data", (chunk) => {
      chunks += 1;
      if (!swallowing) inner.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    endpoint: `opc.tcp://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`,
    get dialled() {
      return dialled;
    },
    get chunks() {
      return chunks;
    },
    swallow: () => {
      swallowing = true;
    },
    drop: () => {
      swallowing = false;
      drop();
    },
    [Symbol.asyncDispose]: async () => {
      drop();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
