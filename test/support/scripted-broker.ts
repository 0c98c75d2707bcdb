import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { PacketCutter } from "../../gateway/connector/mqtt/packets.ts";

/** Packets of a client, by the upper half of their first byte (MQTT 3.1.1, 2.2.1). */
const names: Readonly<Record<number, string>> = { 1: "connect", 3: "publish", 4: "puback", 8: "subscribe", 12: "pingreq" };

export interface ClientPacket {
  readonly name: string;
  readonly bytes: Buffer;
  /** Of a SUBSCRIBE, and of a PUBLISH at QoS 1. */
  readonly packetId: number;
}

export interface ScriptedBroker {
  readonly url: string;
  readonly connections: number;
  /** All that came, in order. */
  readonly packets: readonly ClientPacket[];
  [Symbol.asyncDispose](): Promise<void>;
}

/** Speaks MQTT 3.1.1 as far as the script does, for what no real broker does on demand: accepts every connection, answers the rest or not. */
export async function startScriptedBroker(
  answer: (packet: ClientPacket, socket: Socket, connection: number) => void,
): Promise<ScriptedBroker> {
  const packets: ClientPacket[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    const connection = ++connections;
    const cutter = new PacketCutter({ packetBytes: 1024 * 1024, headBytes: 1024 });
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      for (const bytes of cutter.cut(chunk)) {
        const packet = { name: names[(bytes[0] ?? 0) >> 4] ?? "other", bytes, packetId: packetIdOf(bytes) };
        packets.push(packet);
        if (packet.name === "connect") socket.write(Buffer.from([0x20, 2, 0, 0]));
        else answer(packet, socket, connection);
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return connections;
    },
    packets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** QoS 1 for each of the filters that `subscribe` names. */
export function suback({ bytes, packetId }: Pick<ClientPacket, "bytes" | "packetId">): Buffer {
  let count = 0;
  for (let at = 4; at < bytes.length; at += 3 + bytes.readUInt16BE(at)) count += 1;
  return Buffer.from([0x90, 2 + count, packetId >> 8, packetId & 0xff, ...Array(count).fill(1)]);
}

export const puback = (packetId: number): Buffer => Buffer.from([0x40, 2, packetId >> 8, packetId & 0xff]);
export const pingresp = Buffer.from([0xd0, 0]);

/** A PUBLISH at QoS 1. */
export function publish(topic: string, payload: Buffer, packetId: number): Buffer {
  const length: number[] = [];
  for (let left = topic.length + 4 + payload.length; left > 0 || length.length === 0; left = Math.floor(left / 128))
    length.push((left % 128) | (left > 127 ? 0x80 : 0));
  const head = [0x32, ...length, topic.length >> 8, topic.length & 0xff, ...Buffer.from(topic), packetId >> 8, packetId & 0xff];
  return Buffer.concat([Buffer.from(head), payload]);
}

function packetIdOf(bytes: Buffer): number {
  let at = 1;
  while ((bytes[at] ?? 0) > 127) at += 1;
  at += 1;
  if ((bytes[0] ?? 0) >> 4 === 3) at += 2 + (bytes.length > at + 2 ? bytes.readUInt16BE(at) : 0);
  return bytes.length >= at + 2 ? bytes.readUInt16BE(at) : 0;
}
