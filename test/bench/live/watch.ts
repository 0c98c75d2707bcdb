import { Agent, type IncomingMessage, request } from "node:http";

/** Follows the ledger's transactions as a subscriber of central's API does: each answer is held back until there is one. */
export interface Watch {
  /** How many of the live messages are visible, when `seen` were before; waits a little for more. */
  visible(seen: number): Promise<number>;
  /** How it looks, for a person. */
  readonly description: string;
}

const waitMs = 1000;

export function openWatch({ url, token }: { url: string; token: string }): Watch {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let position = 0;
  return {
    description: "GET /v1/messages?lane=transaction&waitMs=…",
    visible: async (seen) => {
      const path = `/v1/messages?lane=transaction&after=${position}&limit=1000&waitMs=${waitMs}`;
      const lines = (await ask(`${url}${path}`, token, agent)).split("\n").filter((line) => line !== "");
      const last = lines.at(-1);
      if (last !== undefined) position = (JSON.parse(last) as { position: number }).position;
      return seen + lines.filter((line) => line.includes('"txnId":"live-')).length;
    },
  };
}

async function ask(url: string, token: string, agent: Agent): Promise<string> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, accept: "application/x-ndjson" };
    request(url, { headers, agent }, resolve).on("error", reject).end();
  });
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk;
  if (answer.statusCode !== 200) throw new Error(`central answered ${answer.statusCode}: ${text}`);
  return text;
}
