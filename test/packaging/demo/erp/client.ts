import { type Erp, type ErpOptions, startErp } from "../../../../packaging/demo/simulators/erp/erp.ts";

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  /** Parsed where it is JSON. */
  readonly json: unknown;
}
// a test reads what it wrote itself, so rows are taken as they come
export type Fields = Record<string, never>;

export interface Peer extends AsyncDisposable {
  readonly erp: Erp;
  post(model: string, method: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** The value of a call that has to succeed. */
  call<T = unknown>(model: string, method: string, body: unknown): Promise<T>;
  rows(model: string, domain: unknown[], fields: string[]): Promise<Fields[]>;
}

/** A simulator on a free port, and a client that speaks to it over HTTP. */
export async function startPeer(options: ErpOptions = {}): Promise<Peer> {
  const erp = await startErp(options);
  const post: Peer["post"] = async (model, method, body, headers = {}) => {
    const response = await fetch(`${erp.url}/json/2/${model}/${method}`, {
      method: "POST",
      headers: {
        authorization: `bearer ${erp.apiKey}`,
        "x-odoo-database": erp.database,
        "content-type": "application/json",
        ...headers,
      },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    const type = response.headers.get("content-type") ?? "";
    const text = await response.text();
    return { status: response.status, type, text, json: type.startsWith("application/json") ? JSON.parse(text) : undefined };
  };
  const call: Peer["call"] = async (model, method, body) => {
    const answer = await post(model, method, body);
    if (answer.status !== 200) throw new Error(`${model}/${method} answered ${answer.status}: ${answer.text}`);
    return answer.json as never;
  };
  return {
    erp,
    post,
    call,
    rows: (model, domain, fields) => call(model, "search_read", { domain, fields, order: "id" }),
    [Symbol.asyncDispose]: () => erp.stop(),
  };
}
