import { Agent, request } from "node:http";
import { Book } from "./book.ts";
import { payloadOf } from "./messages.ts";
import { Pace, reached, type Sender } from "./sender.ts";

export interface WebhookSenderOptions {
  /** The gateway's listener; asked each time, as a restart may change it. */
  readonly url: () => string;
  readonly path: string;
  readonly name: string;
  /** Callers at once, each with orders of its own and one request under way. */
  readonly callers: number;
  readonly perSecond: number;
}

interface Answer {
  readonly status: number;
  readonly retryAfterMs: number | undefined;
}

const failedPauseMs = 150;
const requestTimeoutMs = 20_000;

/** Systems that call a webhook: one message after the other, each repeated until it is answered with 2xx, pauses as `Retry-After` says. */
export class WebhookSender implements Sender {
  readonly books: readonly Book[];
  readonly troubles: Record<string, number> = {};
  readonly #options: WebhookSenderOptions;
  readonly #agent: Agent;
  readonly #running: Promise<unknown>;
  readonly #closed = new AbortController();
  #finished = false;

  constructor(options: WebhookSenderOptions) {
    this.#options = options;
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.callers });
    this.books = Array.from(
      { length: options.callers },
      (_, index) => new Book({ name: `${options.name}${index}`, kind: "shortage", keys: 4, repeats: true }),
    );
    this.#running = Promise.all(this.books.map((book) => this.#call(book)));
  }

  finish(): void {
    this.#finished = true;
  }

  settled(deadlineMs: number): Promise<boolean> {
    return reached(() => this.books.every((book) => book.acknowledged === book.published), deadlineMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#running;
    this.#agent.destroy();
  }

  async #call(book: Book): Promise<void> {
    const pace = new Pace(this.#options.perSecond / this.#options.callers);
    const { signal } = this.#closed;
    while (!signal.aborted && !this.#finished) {
      if (pace.available() < 1) {
        await pause(10, signal);
        continue;
      }
      pace.took(1);
      const n = book.publish();
      const body = payloadOf(book.stream, n);
      while (!signal.aborted) {
        const { status, retryAfterMs } = await this.#post(body);
        if (status >= 200 && status < 300) {
          book.acknowledge(n);
          break;
        }
        this.troubles[status === 0 ? "no answer" : `answered ${status}`] =
          (this.troubles[status === 0 ? "no answer" : `answered ${status}`] ?? 0) + 1;
        if (status === 503 && retryAfterMs === undefined) this.troubles["503 without Retry-After"] = 1;
        await pause(retryAfterMs ?? failedPauseMs, signal);
      }
    }
  }

  #post(body: string): Promise<Answer> {
    return new Promise((resolve) => {
      const none = (): void => resolve({ status: 0, retryAfterMs: undefined });
      let target: URL;
      try {
        target = new URL(this.#options.path, this.#options.url());
      } catch {
        none();
        return;
      }
      const call = request(
        target,
        {
          method: "POST",
          agent: this.#agent,
          timeout: requestTimeoutMs,
          headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
          signal: this.#closed.signal,
        },
        (response) => {
          const seconds = Number(response.headers["retry-after"] ?? Number.NaN);
          // an answer counts when it is whole
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined }),
          );
          response.on("error", none);
          response.on("close", none);
          response.resume();
        },
      );
      call.on("timeout", () => call.destroy());
      call.on("error", none);
      call.end(body);
    });
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
  });
}
