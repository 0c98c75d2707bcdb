import { Agent, type IncomingMessage, request } from "node:http";
import { nowMs, serveParent } from "./child.ts";
import { ordinalOf } from "./lines.ts";
import { Seen, type Tally } from "./seen.ts";

export interface ConsumerOptions {
  readonly url: string;
  readonly token: string;
  readonly first: number;
  readonly count: number;
}
export interface Consumed extends Tally {
  readonly firstAt: number;
  /** Messages that came together with the first. */
  readonly firstCount: number;
  readonly lastAt: number;
  readonly format: "ndjson" | "json";
}

const pageMessages = 50_000;
const jsonPageMessages = 5_000;
const againMs = 10;
/** Without anything new for so long, what is missing counts as lost. */
const stallMs = 120_000;

/** One page: the last position in it, 0 messages when nothing is new yet. */
interface Page {
  readonly count: number;
  readonly position: number;
}

// a consumer of central's API: reads the ledger page by page from its beginning and looks at every message
await serveParent<ConsumerOptions, Consumed>(async ({ url, token, first, count }) => {
  const seen = new Seen(first, count);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let format: Consumed["format"] = "ndjson";
  let limit = pageMessages;
  let position = 0;
  let firstAt = 0;
  let firstCount = 0;
  let movedAt = nowMs();
  while (!seen.complete && nowMs() - movedAt < stallMs) {
    const answer = await get(`${url}/v1/messages?after=${position}&limit=${limit}&waitMs=5000`, token, agent);
    if (answer?.statusCode === 422 && limit > jsonPageMessages) {
      limit = jsonPageMessages;
      answer.resume();
      continue;
    }
    if (answer?.statusCode !== 200) {
      answer?.resume();
      await new Promise((resolve) => setTimeout(resolve, againMs));
      continue;
    }
    format = answer.headers["content-type"]?.includes("ndjson") ? "ndjson" : "json";
    const page = format === "ndjson" ? await readLines(answer, seen) : await readJson(answer, seen);
    if (page.count === 0) {
      if (format === "json") await new Promise((resolve) => setTimeout(resolve, againMs));
      continue;
    }
    position = page.position;
    movedAt = nowMs();
    if (firstAt === 0) [firstAt, firstCount] = [nowMs(), page.count];
  }
  agent.destroy();
  return { ...seen.tally(), firstAt, firstCount, lastAt: movedAt, format };
});

/** Undefined while central does not answer. */
function get(url: string, token: string, agent: Agent): Promise<IncomingMessage | undefined> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${token}`, accept: "application/x-ndjson, application/json;q=0.5" };
    request(url, { headers, agent }, resolve)
      .on("error", () => resolve(undefined))
      .end();
  });
}

async function readLines(answer: IncomingMessage, seen: Seen): Promise<Page> {
  let rest = "";
  let count = 0;
  let last = "";
  for await (const chunk of answer.setEncoding("latin1")) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      seen.note(ordinalOf(line));
      last = line;
    }
    count += lines.length;
  }
  return { count, position: count === 0 ? 0 : (JSON.parse(last) as { position: number }).position };
}

async function readJson(answer: IncomingMessage, seen: Seen): Promise<Page> {
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk;
  const { messages } = JSON.parse(text) as { messages: { position: number; event: { data: { value: number } } }[] };
  for (const { event } of messages) seen.note(event.data.value);
  return { count: messages.length, position: messages.at(-1)?.position ?? 0 };
}
