import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

/** RFC 1035, 4.1.1: there is no such name. */
const noSuchName = 3;

export interface NameServerOptions {
  readonly port: number;
  /** Names that it has an address for. */
  readonly knows?: readonly string[];
  /** What it answers of all others; {@link fails}: of these only, and of the rest that there is no such name. */
  readonly code?: number;
  readonly fails?: readonly string[];
}

/** A name server that answers over UDP, each question by itself. */
export async function startNameServer(host: string, { port, knows = [], code = noSuchName, fails }: NameServerOptions) {
  let socket: Socket | undefined;
  let taken = port;
  const server = {
    get address(): string {
      return `${host}:${taken}`;
    },
    async start(): Promise<void> {
      if (socket) return;
      const opened = createSocket("udp4");
      opened.on("message", (question, from) =>
        opened.send(
          answerTo(question, { knows, codeOf: (name) => (fails && !fails.includes(name) ? noSuchName : code) }),
          from.port,
          from.address,
        ),
      );
      opened.bind(taken, host);
      await once(opened, "listening");
      socket = opened;
      taken = opened.address().port;
    },
    async stop(): Promise<void> {
      const open = socket;
      socket = undefined;
      if (open) await new Promise<void>((resolve) => open.close(() => resolve()));
    },
    [Symbol.asyncDispose]: (): Promise<void> => server.stop(),
  };
  await server.start();
  return server;
}
export type NameServer = Awaited<ReturnType<typeof startNameServer>>;

interface Answering {
  readonly knows: readonly string[];
  readonly codeOf: (name: string) => number;
}

function answerTo(question: Buffer, { knows, codeOf }: Answering): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
    labels.push(question.subarray(at + 1, at + 1 + length).toString("latin1"));
    at += 1 + length;
  }
  const end = at + 5;
  const name = labels.join(".").toLowerCase();
  const isKnown = knows.includes(name);
  const isIPv4 = question.readUInt16BE(at + 1) === 1;
  // pointing at the name of the question; one address, for a minute
  const records =
    isKnown && isIPv4
      ? [Buffer.from("c00c00010001", "hex"), Buffer.from("0000003c0004", "hex"), Buffer.from([127, 0, 0, 1])]
      : [];
  const header = Buffer.alloc(12);
  question.copy(header, 0, 0, 2);
  header.writeUInt16BE(0x8180 | (isKnown ? 0 : codeOf(name)), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length > 0 ? 1 : 0, 6);
  return Buffer.concat([header, question.subarray(12, end), ...records]);
}
