import { nowMs, serveParent } from "../base/child.ts";
import { sampleLine } from "../base/lines.ts";
import { MqttLink } from "./mqtt-link.ts";
import { NatsLink } from "./nats-link.ts";

export interface PeerFillOptions {
  readonly to: "mqtt" | "nats";
  readonly port: number;
  /** Topic or subject. */
  readonly place: string;
  readonly first: number;
  readonly count: number;
  /** Published and not yet acknowledged, at most. */
  readonly window: number;
}

// a backlog for a peer: the lines that our gateway carries, each one acknowledged by the peer when this ends
await serveParent<PeerFillOptions, { seconds: number }>(async ({ to, port, place, first, count, window }) => {
  const done = Promise.withResolvers<void>();
  let [next, acknowledged] = [first, 0];
  const more = (): void => {
    while (next < first + count && next - first - acknowledged < window) publish(sampleLine(next++));
  };
  const acknowledge = (): void => {
    acknowledged += 1;
    if (acknowledged === count) done.resolve();
    else more();
  };
  const link = to === "mqtt" ? await openMqtt(port) : await openNats(port, acknowledge);
  const publish = (line: string): void => {
    if (link instanceof NatsLink) link.publish(place, line, "bench.acknowledged");
    else link.publish(place, line, acknowledge);
  };
  const began = nowMs();
  more();
  await done.promise;
  const seconds = (nowMs() - began) / 1000;
  link.end();
  return { seconds };
});

function openMqtt(port: number): Promise<MqttLink> {
  return MqttLink.open({ port, clientId: "bench-fill", clean: true });
}

async function openNats(port: number, acknowledge: () => void): Promise<NatsLink> {
  const link = await NatsLink.open({
    port,
    onMessage: (_, answer) => {
      if (answer.includes('"error"')) throw new Error(`JetStream refused a message: ${answer}`);
      acknowledge();
    },
  });
  link.subscribe("bench.acknowledged");
  await link.flush();
  return link;
}
