import { Agent, type IncomingMessage, request } from "node:http";

/** Looks at central's API for the live messages, which become visible in their order. */
export interface Watch {
  /** How many of them are visible, when `seen` were before and `published` could be; waits a little for more. */
  visible(seen: number, published: number): Promise<number>;
  /** How it looks, for a person. */
  readonly description: string;
}

const waitMs = 1000;
const againMs = 5;

/**
 * Follows the ledger's transactions as a subscriber does, each answer held back until there is one. Where central does not offer that, it
 * asks for the order of the oldest message that was not seen yet.
 */
export function openWatch({ url, token }: { url: string; token: string }): Watch {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const get = (path: string): Promise<Answer> => ask(`${url}${path}`, token, agent);
  let position = 0;
  let follows: boolean | undefined;
  const followed = async (seen: number): Promise<number> => {
    const { text } = await get(`/v1/messages?lane=transaction&after=${position}&limit=1000&waitMs=${waitMs}`);
    const lines = text.split("\n").filter((line) => line !== "");
    const last = lines.at(-1);
    if (last !== undefined) position = (JSON.parse(last) as { position: number }).position;
    return seen + lines.filter((line) => line.includes('"txnId":"live-')).length;
  };
  const looked = async (seen: number, published: number): Promise<number> => {
    if (seen < published && (await get(`/v1/orders/live-${seen}`)).status === 200) return seen + 1;
    await new Promise((resolve) => setTimeout(resolve, againMs));
    return seen;
  };
  return {
    get description() {
      return follows
        ? "GET /v1/messages?lane=transaction&waitMs=…"
        : "GET /v1/orders of the oldest message's order, again and again";
    },
    visible: async (seen, published) => {
      follows ??= (await get("/v1/messages?lane=transaction&limit=1")).lines;
      return follows ? followed(seen) : looked(seen, published);
    },
  };
}

interface Answer {
  readonly status: number;
  readonly lines: boolean;
  readonly text: string;
}

async function ask(url: string, token: string, agent: Agent): Promise<Answer> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, accept: "application/x-ndjson, application/json;q=0.5" };
    request(url, { headers, agent }, resolve).on("error", reject).end();
  });
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk;
  return {
    status: answer.statusCode ?? 0,
    lines: answer.headers["content-type"]?.includes("ndjson") ?? false,
    text,
  };
}
