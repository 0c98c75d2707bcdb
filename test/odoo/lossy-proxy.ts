import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A proxy before Odoo that can lose answers: the request is carried out there, and its sender hears nothing. */
export interface LossyProxy extends AsyncDisposable {
  readonly url: string;
  /** Loses the answer to each request to `model/method` when it is first made; the same request made again is answered. undefined: loses none. */
  lose(call: string | undefined): void;
  /** Loses the answer to the first request to each `model/method` of `calls`, and no other. */
  loseFirstOfEach(calls: readonly string[]): void;
  /** Ends the connection of each request to `model/method` when it is first made, before Odoo sees it; until the next `lose`. */
  cut(call: string): void;
  /** How many requests or answers were lost. */
  lost(): number;
  /** Calls whose first answer is still to be lost, after `loseFirstOfEach`. */
  stillToLose(): readonly string[];
}

export async function startLossyProxy(target: string): Promise<LossyProxy> {
  let losing: string | undefined;
  const cutting = new Set<string>();
  const losingFirst = new Set<string>();
  const seen = new Set<string>();
  let lost = 0;
  const server: Server = createServer((incoming, outgoing) => {
    const body: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => body.push(chunk));
    incoming.on("end", () => {
      const call = (incoming.url ?? "").replace(/^\/json\/2\//, "");
      const bytes = Buffer.concat(body);
      const loseThis = losingFirst.delete(call) || (call === losing && !seen.has(bytes.toString()));
      if (loseThis) seen.add(bytes.toString());
      if (cutting.has(call) && !seen.has(bytes.toString())) {
        seen.add(bytes.toString());
        lost += 1;
        incoming.socket.destroy();
        return;
      }
      const forward = request(
        new URL(incoming.url ?? "/", target),
        { method: incoming.method, headers: incoming.headers },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on("data", (chunk: Buffer) => chunks.push(chunk));
          answer.on("end", () => {
            // the whole answer is here, so Odoo has committed
            if (loseThis) {
              lost += 1;
              outgoing.socket?.destroy();
              return;
            }
            outgoing.writeHead(answer.statusCode ?? 502, {
              "content-type": answer.headers["content-type"] ?? "text/plain",
              connection: "close",
            });
            outgoing.end(Buffer.concat(chunks));
          });
          answer.on("error", () => outgoing.destroy());
        },
      );
      forward.on("error", () => outgoing.destroy());
      forward.end(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const lose = (call: string | undefined): void => {
    losing = call;
    seen.clear();
    cutting.clear();
    losingFirst.clear();
    lost = 0;
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lose,
    loseFirstOfEach(calls) {
      lose(undefined);
      for (const call of calls) losingFirst.add(call);
    },
    cut(call) {
      cutting.add(call);
    },
    lost: () => lost,
    stillToLose: () => [...losingFirst],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
