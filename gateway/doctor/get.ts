import { request } from "node:http";
import type { Socket } from "node:net";
import { describeError } from "../../protocol/index.ts";

export type Got =
  | { readonly kind: "answer"; readonly status: number; readonly text: string; readonly date: string | undefined }
  /** `isAway`: nothing that answers stands behind what took the connection. */
  | { readonly kind: "failed"; readonly reason: string; readonly isAway: boolean };

const answerMs = 5000;
const mostBytes = 100_000;

/** One GET without a token, on a connection that is open: whoever it is may hear that. Ends the connection. */
export function get(socket: Socket, url: URL): Promise<Got> {
  return new Promise((resolve) => {
    const asked = request({
      ...{ method: "GET", path: `${url.pathname}${url.search}`, host: url.hostname, port: url.port },
      headers: { host: url.host, connection: "close" },
      createConnection: () => socket,
    });
    const failed = (reason: string, isAway = true): void => {
      resolve({ kind: "failed", reason, isAway });
      asked.destroy();
    };
    // a request's own timeout does not count for a socket that was opened before
    AbortSignal.timeout(answerMs).addEventListener("abort", () => failed("it accepts, and is silent"));
    asked.once("error", (error) => failed(describeError(error)));
    asked.once("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
        if (text.length > mostBytes) failed("its answer has no end", false);
      });
      response.on("error", (error) => failed(describeError(error)));
      response.on("end", () => resolve({ kind: "answer", status: response.statusCode ?? 0, text, date: response.headers.date }));
    });
    asked.end();
  });
}

/** Says that what stands behind it is away. */
export function isAwayStatus(status: number): boolean {
  return [502, 503, 504].includes(status);
}
