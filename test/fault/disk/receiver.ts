import { createServer, type Server } from "node:http";

/** A system of the plant that takes orders by HTTP and counts how often each came. */
export class Receiver implements AsyncDisposable {
  readonly url: string;
  /** How often each was taken. */
  readonly orders = new Map<string, number>();
  /** While it is, it answers 503. */
  away = false;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.url = `http://127.0.0.1:${port}`;
    server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (data: Buffer) => chunks.push(data));
      request.on("end", () => {
        if (this.away) {
          response.writeHead(503).end();
          return;
        }
        const order = String((JSON.parse(Buffer.concat(chunks).toString()) as { moId?: unknown }).moId);
        this.orders.set(order, (this.orders.get(order) ?? 0) + 1);
        response.writeHead(200, { "content-type": "application/json" }).end("{}");
      });
    });
  }

  static async open(): Promise<Receiver> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    return new Receiver(server, typeof address === "object" && address ? address.port : 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
