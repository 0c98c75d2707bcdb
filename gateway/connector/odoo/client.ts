import { z } from "zod";
import { describeError, type ErrorCode, PlantgateError } from "../../../protocol/index.ts";
import { type Failure, judgeAnswer } from "./answer.ts";

/** A call that did not succeed. `wrote`: it was meant to change something, so that a missing answer leaves the outcome open. */
export class OdooError extends PlantgateError {
  readonly failure: Failure;
  readonly reason: string;
  readonly wrote: boolean;

  constructor(failure: Failure, reason: string, call: { model: string; method: string; wrote: boolean }, cause?: unknown) {
    super(codes[failure], `${call.model}/${call.method}: ${reason}`, {
      context: { model: call.model, method: call.method, failure },
      cause,
    });
    this.failure = failure;
    this.reason = reason;
    this.wrote = call.wrote;
  }
}

const codes: Record<Failure, ErrorCode> = {
  denied: "LINK_DENIED",
  missing: "PEER_REFUSED",
  refused: "PEER_REFUSED",
  busy: "PEER_BUSY",
  fault: "PEER_REFUSED",
  elsewhere: "PEER_UNREACHABLE",
  "no-answer": "PEER_TIMEOUT",
  unsent: "PEER_UNREACHABLE",
};

/** Codes of a connection that never stood: the request did not leave. */
const unsentCodes = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"]);

export interface OdooClientDeps {
  readonly url: string;
  readonly database: string;
  /** Read for each call, so that a replaced key is used at once. */
  apiKey(): string;
  readonly timeoutMs: number;
}

export type Domain = readonly (readonly [field: string, operator: string, value: unknown] | "|" | "&" | "!")[];
export type Context = Readonly<Record<string, unknown>>;

interface CallOptions {
  readonly signal: AbortSignal;
  /** `write`: meant to change something, so that a missing answer leaves open whether it did. */
  readonly nature: "read" | "write";
}

/** Odoo's JSON-2: one POST is one transaction; there is none across calls. */
export class OdooClient {
  readonly #deps: OdooClientDeps;

  constructor(deps: OdooClientDeps) {
    this.#deps = deps;
  }

  /** Rows of a search, each checked by `row`; `domain` and `fields` are always given, as Odoo's own default is everything. */
  async search<Row extends z.ZodType>(
    model: string,
    row: Row & { readonly shape: object },
    domain: Domain,
    signal: AbortSignal,
    options: { order?: string; limit?: number; context?: Context } = {},
  ): Promise<z.infer<Row>[]> {
    const fields = Object.keys(row.shape).filter((field) => field !== "id");
    const body = {
      domain,
      fields,
      order: options.order ?? "id",
      ...(options.limit ? { limit: options.limit } : {}),
      context: { lang: "en_US", ...options.context },
    };
    const value = await this.#post(model, "search_read", body, { signal, nature: "read" });
    const rows = z.array(row).safeParse(value);
    if (!rows.success) {
      throw new OdooError("fault", `unexpected fields in the answer: ${rows.error.issues[0]?.path.join(".")}`, {
        model,
        method: "search_read",
        wrote: false,
      });
    }
    return rows.data;
  }

  /** Creates records in one transaction; a repeat makes them twice, so the caller looks first. */
  async create(model: string, values: readonly Record<string, unknown>[], signal: AbortSignal): Promise<number[]> {
    const value = await this.#post(model, "create", { vals_list: values }, { signal, nature: "write" });
    return z.array(z.int()).parse(value);
  }

  /** Writes the same values on records. */
  async write(model: string, ids: readonly number[], values: Record<string, unknown>, signal: AbortSignal): Promise<void> {
    await this.invoke(model, "write", ids, { vals: values }, { signal, nature: "write" });
  }

  /**
   * Calls a method of records. Odoo takes a call without ids for one on no record and answers `true`, so ids are asserted here.
   * @returns what the method returned; a wizard that needs an answer comes as an action
   */
  async invoke(
    model: string,
    method: string,
    ids: readonly number[],
    args: Record<string, unknown>,
    options: CallOptions,
  ): Promise<unknown> {
    if (ids.length === 0 || !ids.every((id) => Number.isInteger(id) && id > 0)) {
      throw new PlantgateError("INVARIANT", `${model}/${method} without record ids`, { context: { model, method } });
    }
    return this.#post(model, method, { ids, ...args }, options);
  }

  /** Calls a method of the model itself. */
  async call(model: string, method: string, args: Record<string, unknown>, signal: AbortSignal): Promise<unknown> {
    return this.#post(model, method, args, { signal, nature: "read" });
  }

  async #post(model: string, method: string, body: Record<string, unknown>, options: CallOptions): Promise<unknown> {
    const call = { model, method, wrote: options.nature !== "read" };
    if (options.signal.aborted) throw new OdooError("unsent", "stopping", call);
    const key = this.#key(call);
    let judgement: ReturnType<typeof judgeAnswer>;
    try {
      const response = await fetch(`${this.#deps.url.replace(/\/+$/, "")}/json/2/${model}/${method}`, {
        method: "POST",
        headers: {
          authorization: `bearer ${key}`,
          "x-odoo-database": this.#deps.database,
          "content-type": "application/json",
        },
        body: JSON.stringify(body),
        // a redirect would carry the key elsewhere
        redirect: "error",
        signal: AbortSignal.any([options.signal, AbortSignal.timeout(this.#deps.timeoutMs)]),
      });
      judgement = judgeAnswer(response.status, response.headers.get("content-type") ?? "", await response.text());
    } catch (error) {
      const code = causeCode(error);
      if (code !== undefined && unsentCodes.has(code)) throw new OdooError("unsent", `no connection (${code})`, call, error);
      const late = error instanceof DOMException && error.name === "TimeoutError";
      throw new OdooError("no-answer", late ? "no answer in time" : "the connection ended before the answer", call, error);
    }
    if (judgement.kind === "value") return judgement.value;
    throw new OdooError(judgement.failure, judgement.reason, call);
  }

  /** Without a key Odoo is as good as one that does not accept it: an outage, until a person puts the key there. */
  #key(call: { model: string; method: string; wrote: boolean }): string {
    try {
      return this.#deps.apiKey();
    } catch (error) {
      throw new OdooError("denied", describeError(error), call, error);
    }
  }
}

function causeCode(error: unknown): string | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    if ("code" in at && typeof at.code === "string") return at.code;
  }
  return undefined;
}
