import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { generate, type Packet, type Parser, parser } from "mqtt-packet";

export interface MqttLinkOptions {
  readonly port: number;
  readonly clientId: string;
  readonly clean: boolean;
  readonly user?: { readonly name: string; readonly password: string };
  /** Called for each message that arrives; at QoS 1 it is acknowledged after that. */
  readonly onMessage?: (payload: Buffer) => void;
}

/**
 * A connection to a broker as lean as it gets: MQTT 3.1.1, QoS 1, packets by mqtt-packet straight onto the socket. MQTT.js would be what
 * is measured, not the broker.
 */
export class MqttLink {
  readonly #socket: Socket;
  readonly #parser: Parser = parser();
  readonly #open = new Map<number, (acknowledged: boolean) => void>();
  readonly #waiting = new Map<string, (packet: Packet) => void>();
  readonly #onMessage: ((payload: Buffer) => void) | undefined;
  #out: Buffer[] = [];
  #lastId = 0;
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket, onMessage: ((payload: Buffer) => void) | undefined) {
    this.#socket = socket;
    this.#onMessage = onMessage;
    this.#parser.on("packet", (packet) => this.#receive(packet));
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => void this.#parser.parse(chunk));
    this.closed = once(socket, "close").then(() => {
      for (const settle of this.#open.values()) settle(false);
      this.#open.clear();
    });
  }

  /** @throws what the socket fails with; Error when the broker refuses */
  static async open({ port, clientId, clean, user, onMessage }: MqttLinkOptions): Promise<MqttLink> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    const link = new MqttLink(socket, onMessage);
    const connack = link.#answer("connack");
    link.#write(
      generate({
        cmd: "connect",
        protocolId: "MQTT",
        protocolVersion: 4,
        clientId,
        clean,
        keepalive: 0,
        ...(user === undefined ? {} : { username: user.name, password: Buffer.from(user.password) }),
      }),
    );
    const { returnCode } = (await Promise.race([connack, link.closed.then(() => ({ returnCode: -1 }))])) as {
      returnCode: number;
    };
    if (returnCode !== 0) throw new Error(`the broker on port ${port} refused the connection (${returnCode})`);
    return link;
  }

  async subscribe(topic: string): Promise<void> {
    const suback = this.#answer("suback");
    this.#write(generate({ cmd: "subscribe", messageId: this.#nextId(), subscriptions: [{ topic, qos: 1 }] }));
    await suback;
  }

  /** Publishes at QoS 1; `settle` is called with true by the PUBACK, with false when the connection ends before. */
  publish(topic: string, payload: Buffer | string, settle: (acknowledged: boolean) => void): void {
    const messageId = this.#nextId();
    this.#open.set(messageId, settle);
    this.#write(generate({ cmd: "publish", topic, payload, qos: 1, messageId, dup: false, retain: false }));
  }

  end(): void {
    this.#socket.destroy();
  }

  #receive(packet: Packet): void {
    if (packet.cmd === "puback") {
      const id = packet.messageId ?? 0;
      const settle = this.#open.get(id);
      this.#open.delete(id);
      settle?.(true);
    } else if (packet.cmd === "publish") {
      this.#onMessage?.(packet.payload as Buffer);
      if (packet.qos === 1) this.#write(generate({ cmd: "puback", messageId: packet.messageId ?? 0 }));
    } else this.#waiting.get(packet.cmd)?.(packet);
  }

  #answer(cmd: string): Promise<Packet> {
    return new Promise((resolve) => this.#waiting.set(cmd, resolve));
  }

  #nextId(): number {
    do this.#lastId = (this.#lastId % 65_535) + 1;
    while (this.#open.has(this.#lastId));
    return this.#lastId;
  }

  /** What is written in one turn of the loop leaves in one piece. */
  #write(bytes: Buffer): void {
    if (this.#out.length === 0)
      setImmediate(() => {
        const out = this.#out;
        this.#out = [];
        if (!this.#socket.destroyed) this.#socket.write(out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out));
      });
    this.#out.push(bytes);
  }
}
