import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface NatsLinkOptions {
  readonly port: number;
  readonly onMessage: (subject: string, payload: string) => void;
}

/** The NATS protocol straight onto a socket: PUB, SUB and MSG, without headers. Leaner than any client library. */
export class NatsLink {
  readonly #socket: Socket;
  readonly #onMessage: NatsLinkOptions["onMessage"];
  #rest = "";
  #out: string[] = [];
  #sid = 0;
  #pong: (() => void) | undefined;

  private constructor(socket: Socket, onMessage: NatsLinkOptions["onMessage"]) {
    this.#socket = socket;
    this.#onMessage = onMessage;
    socket.on("error", () => {});
    // all that the bench sends is ASCII, so that lengths are lengths
    socket.setEncoding("latin1").on("data", (chunk: string) => this.#parse(chunk));
  }

  /** @throws what the socket fails with */
  static async open({ port, onMessage }: NatsLinkOptions): Promise<NatsLink> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    const link = new NatsLink(socket, onMessage);
    link.#write('CONNECT {"verbose":false,"pedantic":false,"headers":false,"lang":"bench","version":"1"}\r\n');
    await link.flush();
    return link;
  }

  subscribe(subject: string): void {
    this.#write(`SUB ${subject} ${++this.#sid}\r\n`);
  }

  publish(subject: string, payload: string, reply = ""): void {
    this.#write(`PUB ${subject} ${reply === "" ? "" : `${reply} `}${payload.length}\r\n${payload}\r\n`);
  }

  /** Resolves when the server has seen everything before. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      this.#pong = resolve;
      this.#write("PING\r\n");
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #parse(chunk: string): void {
    const text = this.#rest === "" ? chunk : this.#rest + chunk;
    let at = 0;
    for (;;) {
      const lineEnd = text.indexOf("\r\n", at);
      if (lineEnd < 0) break;
      if (text.startsWith("MSG ", at)) {
        // MSG <subject> <sid> [reply] <bytes>
        const head = text.slice(at + 4, lineEnd);
        const size = Number(head.slice(head.lastIndexOf(" ") + 1));
        if (text.length < lineEnd + 2 + size + 2) break;
        this.#onMessage(head.slice(0, head.indexOf(" ")), text.slice(lineEnd + 2, lineEnd + 2 + size));
        at = lineEnd + 2 + size + 2;
        continue;
      }
      if (text.startsWith("PING", at)) this.#write("PONG\r\n");
      else if (text.startsWith("PONG", at)) this.#pong?.();
      else if (text.startsWith("-ERR", at)) throw new Error(`the NATS server says ${text.slice(at, lineEnd)}`);
      at = lineEnd + 2;
    }
    this.#rest = text.slice(at);
  }

  /** What is written in one turn of the loop leaves in one piece. */
  #write(text: string): void {
    if (this.#out.length === 0)
      setImmediate(() => {
        const out = this.#out;
        this.#out = [];
        if (!this.#socket.destroyed) this.#socket.write(out.join(""), "latin1");
      });
    this.#out.push(text);
  }
}
