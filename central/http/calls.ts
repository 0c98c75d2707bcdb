import type { MiddlewareHandler } from "hono";

/** So many at once are more than a few plants that come and go. */
const manyCalls = 16;

/** Short calls of gateways, from their headers to their answer; polls and batches are none, as these wait and are admitted. */
export class Calls {
  #open = 0;

  /** Many plants wait to be heard at once: what can wait should. */
  get pressed(): boolean {
    return this.#open >= manyCalls;
  }

  counted(): MiddlewareHandler {
    return async (_context, next) => {
      this.#open += 1;
      try {
        await next();
      } finally {
        this.#open -= 1;
      }
    };
  }
}
