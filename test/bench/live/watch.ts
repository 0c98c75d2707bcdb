import { Agent, type IncomingMessage, request } from "node:http";

/** Looks at central's API for the live messages, which become visible in their order. */
export interface Watch {
  /** How many of them are visible now, when `seen` were and `published` could be; may wait until it is more. */
  visible(seen: number, published: number): Promise<number>;
  readonly description: string;
}

const againMs = 5;

/** Asks for the oldest one that was not seen yet, by its order; when it is there, for the next one. */
export function openWatch({ url, token }: { url: string; token: string }): Watch {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    description: "GET /v1/orders of each message's order, the oldest first",
    visible: async (seen, published) => {
      if (seen < published) {
        const answer = await get(`${url}/v1/orders/live-${seen}`, token, agent);
        if (answer.statusCode === 200) return seen + 1;
      }
      await new Promise((resolve) => setTimeout(resolve, againMs));
      return seen;
    },
  };
}

function get(url: string, token: string, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, { headers: { authorization: `Bearer ${token}` }, agent }, (answer) => {
      answer.resume().on("end", () => resolve(answer));
    })
      .on("error", reject)
      .end();
  });
}
