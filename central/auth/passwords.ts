import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

/** argon2id as OWASP recommends it at least (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. `memory` in KiB. */
export const cost = { memory: 19 * 1024, passes: 2, parallelism: 1 } as const;
const tagLength = 32;
const saltLength = 16;
/** Of the runtime's four threads others need some: files, DNS. */
const atOnce = 2;
/** What waits behind them ends in about a second. */
const mostWaiting = 32;

interface Cost {
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}

/**
 * Passwords as argon2id, in PHC strings (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`), worked out beside the event loop and never by more than two at
 * once. `busy`: too many wait already.
 */
export class Passwords {
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  hash(password: string): Promise<string | "busy"> {
    return this.#inTurn(async () => {
      const salt = randomBytes(saltLength);
      const tag = await derive(password, salt, cost);
      return `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}$${base64(salt)}$${base64(tag)}`;
    });
  }

  /** Takes as long without a stored one as with one, so that nobody learns which users there are. */
  verify(password: string, stored: string | null): Promise<boolean | "busy"> {
    const known = stored === null ? undefined : parse(stored);
    return this.#inTurn(async () => {
      const tag = await derive(password, known?.salt ?? randomBytes(saltLength), known?.cost ?? cost);
      return known !== undefined && timingSafeEqual(tag, known.tag);
    });
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result | "busy"> {
    if (this.#running >= atOnce) {
      if (this.#waiting.length >= mostWaiting) return "busy";
      // whoever ends hands its place on
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}

/** Whether a stored one was made with another cost than one would be now. */
export function isOutdated(stored: string): boolean {
  const known = parse(stored)?.cost;
  return known?.memory !== cost.memory || known.passes !== cost.passes || known.parallelism !== cost.parallelism;
}

const run = promisify(argon2);
function derive(password: string, nonce: Buffer, { memory, passes, parallelism }: Cost): Promise<Buffer> {
  // one spelling of what looks the same, whatever keyboard it was typed on
  const message = password.normalize("NFKC");
  return run("argon2id", { message, nonce, parallelism, tagLength, memory, passes });
}

function parse(stored: string): { readonly cost: Cost; readonly salt: Buffer; readonly tag: Buffer } | undefined {
  const parts = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d)\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})$/.exec(stored);
  if (!parts) return undefined;
  const [, memory = "", passes = "", parallelism = "", salt = "", tag = ""] = parts;
  return {
    cost: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt, "base64"),
    tag: Buffer.from(tag, "base64"),
  };
}

function base64(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
