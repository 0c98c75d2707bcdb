import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** HTTP/1.1 straight onto a socket: a client library would cost more than the gateway. */
export class HttpLink {
  readonly #socket: Socket;
  readonly #host: string;
  #text = "";
  #answered: ((status: number) => void) | undefined;

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.on("error", () => {});
    socket.on("close", () => this.#answered?.(0));
    socket.setEncoding("latin1").on("data", (chunk: string) => this.#receive(chunk));
  }

  static async open(host: string, port: number): Promise<HttpLink> {
    const socket = connect({ host, port, noDelay: true });
    await once(socket, "connect");
    return new HttpLink(socket, host);
  }

  /** Resolves with the status; 0 when the connection ended. */
  post(path: string, body: string): Promise<number> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      const head = `POST ${path} HTTP/1.1\r\nhost: ${this.#host}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
      this.#socket.write(head + body, "latin1");
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #receive(chunk: string): void {
    this.#text += chunk;
    const headEnd = this.#text.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#text.slice(0, headEnd))?.[1];
    const whole = length === undefined ? this.#text.endsWith("\r\n0\r\n\r\n") : this.#text.length >= headEnd + 4 + Number(length);
    if (!whole) return;
    const status = Number(this.#text.slice(9, 12));
    this.#text = "";
    this.#answered?.(status);
  }
}
