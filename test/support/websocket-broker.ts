import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

/** MQTT over a WebSocket, as far as a script needs it: hands over what a client's frames hold, none of more than 125 bytes; `send` writes one frame. */
export async function startWebSocketBroker(answer: (packet: Buffer, send: (bytes: Buffer) => void) => void) {
  const sockets = new Set<Duplex>();
  const server = createServer().listen(0, "127.0.0.1");
  server.on("upgrade", (request, socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    // RFC 6455, 4.2.2
    const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash("sha1").update(key).digest("base64");
    const lines = ["HTTP/1.1 101 x", "upgrade: websocket", "connection: upgrade", `sec-websocket-accept: ${accept}`];
    socket.write(`${lines.join("\r\n")}\r\nsec-websocket-protocol: mqtt\r\n\r\n`);
    const send = (bytes: Buffer): void => {
      const head = Buffer.alloc(10);
      head[0] = 0x82;
      head[1] = 127;
      head.writeBigUInt64BE(BigInt(bytes.length), 2);
      socket.write(head);
      socket.write(bytes);
    };
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const length = (rest[1] ?? 0) & 0x7f;
        if (rest.length < 6 + length) return;
        const mask = rest.subarray(2, 6);
        const packet = Buffer.from(rest.subarray(6, 6 + length).map((byte, at) => byte ^ (mask[at % 4] ?? 0)));
        rest = rest.subarray(6 + length);
        answer(packet, send);
      }
    });
  });
  await once(server, "listening");
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
