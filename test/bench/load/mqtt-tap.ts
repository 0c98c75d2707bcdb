import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A stretch of wire between a subscriber and its broker, on which the subscriber's acknowledgements are counted. */
export interface Tap {
  /** Resolves when the subscriber has asked for its topics. */
  readonly subscribed: Promise<void>;
  /** Resolves with the next PUBACK that nobody waits for yet: acknowledgements come in the order of the messages. */
  nextAcknowledged(): Promise<void>;
}

const [puback, subscribe] = [4, 8];
/** Taking each from an array's front would move all behind it. */
const compactAt = 10_000;

export async function openTap(port: number, brokerPort: number): Promise<Tap> {
  const waiting: (() => void)[] = [];
  let served = 0;
  const subscribed = Promise.withResolvers<void>();
  const see = (type: number): void => {
    if (type === subscribe) subscribed.resolve();
    if (type !== puback) return;
    waiting[served]?.();
    served += 1;
    if (served <= compactAt) return;
    waiting.splice(0, served);
    served = 0;
  };
  const server = createServer({ noDelay: true }, (subscriber) => {
    const broker = connect({ port: brokerPort, host: "127.0.0.1", noDelay: true });
    for (const [socket, other] of [
      [subscriber, broker],
      [broker, subscriber],
    ] as const) {
      socket.on("error", () => other.destroy());
      socket.on("close", () => other.destroy());
    }
    const count = packetCounter(see);
    subscriber.on("data", count);
    subscriber.pipe(broker);
    broker.pipe(subscriber);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    subscribed: subscribed.promise,
    nextAcknowledged: () => new Promise((resolve) => waiting.push(resolve)),
  };
}

/** Walks over MQTT packets in a stream, whatever way it is cut, and names the type of each as it begins. */
function packetCounter(see: (type: number) => void): (chunk: Buffer) => void {
  let type = -1;
  let [length, shift, left] = [0, 0, 0];
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      if (left > 0) {
        const step = Math.min(left, chunk.length - at);
        left -= step;
        at += step;
        continue;
      }
      const byte = chunk[at++] as number;
      if (type < 0) {
        [type, length, shift] = [byte >> 4, 0, 0];
        continue;
      }
      length += (byte & 0x7f) << shift;
      shift += 7;
      if ((byte & 0x80) !== 0) continue;
      see(type);
      [type, left] = [-1, length];
    }
  };
}
