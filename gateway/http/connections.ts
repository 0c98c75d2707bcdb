import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Holds a server to a number of connections. Past it the one that has asked nothing for longest gives way to the new one, so that strangers
 * who only connect keep nobody out; where each has a request under way, the new one has to.
 */
export function limitConnections(server: Server, most: number, onFull: () => void): void {
  let open = 0;
  /** Since longest first. */
  const idle = new Set<Socket>();
  const underWay = new Map<Socket, number>();
  server.on("connection", (socket: Socket) => {
    open += 1;
    socket.once("close", () => {
      open -= 1;
      idle.delete(socket);
      underWay.delete(socket);
    });
    if (open > most) {
      onFull();
      const [oldest = socket] = idle;
      idle.delete(oldest);
      oldest.destroy();
    }
    if (!socket.destroyed) idle.add(socket);
  });
  server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    underWay.set(socket, (underWay.get(socket) ?? 0) + 1);
    response.once("close", () => {
      const left = (underWay.get(socket) ?? 0) - 1;
      if (left > 0) underWay.set(socket, left);
      else underWay.delete(socket);
      if (left <= 0 && !socket.destroyed) idle.add(socket);
    });
  });
}
