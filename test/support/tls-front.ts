import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { Certificate } from "./certificates.ts";

/** A server on a free port that ends with its connections. */
async function listening(server: Server) {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function join(one: Socket, other: Socket): void {
  one.pipe(other).pipe(one);
  for (const [socket, peer] of [
    [one, other],
    [other, one],
  ] as const)
    socket.on("error", () => peer.destroy()).on("close", () => peer.destroy());
}

/** What stands before central in a plant's eyes: ends TLS and passes everything on; `said` counts bytes that came inside TLS. */
export async function startTlsFront({ cert, key }: Certificate, behindUrl: string) {
  const behind = new URL(behindUrl);
  const seen = { handshakes: 0, said: 0 };
  const server = createTlsServer({ cert, key }, (socket: TLSSocket) => {
    seen.handshakes += 1;
    socket.on("data", (chunk: Buffer) => {
      seen.said += chunk.byteLength;
    });
    join(socket, connect(Number(behind.port), behind.hostname));
  });
  server.on("tlsClientError", () => {});
  return Object.assign(await listening(server), { seen });
}

/** A plant's proxy: opens tunnels by CONNECT for whoever shows its user and password, and notes where to. */
export async function startConnectProxy(credentials: string) {
  const tunnels: string[] = [];
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on("connect", (request: IncomingMessage, socket: Socket) => {
    socket.on("error", () => {});
    if (request.headers["proxy-authorization"] !== `Basic ${Buffer.from(credentials).toString("base64")}`)
      return socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    tunnels.push(request.url ?? "");
    const { hostname, port } = new URL(`http://${request.url}`);
    const out = connect(Number(port), hostname, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      join(out, socket);
    });
    out.on("error", () => socket.destroy());
  });
  return Object.assign(await listening(server), { tunnels });
}
