import { nowMs } from "../base/child.ts";
import { NatsLink } from "../load/nats-link.ts";
import type { PeerConsumed } from "./peer-consumed.ts";
import { dial } from "./peer-consumed.ts";

export const hubStream = "HUB";
export const reader = "READER";
export const rawDeliverySubject = "bench.deliver";

export interface NatsConsumed extends PeerConsumed {
  readonly storedPerSecond: number;
  readonly storedAt: number;
}

const askEveryMs = 25;

/** Asks the hub how many messages its stream has until it has all: the rate from the first that was seen to the last. */
export async function watchStream(port: number, count: number): Promise<{ storedPerSecond: number; storedAt: number }> {
  let answered = (_messages: number): void => {};
  const link = await dial(() =>
    NatsLink.open({
      port,
      onMessage: (_, answer) => answered((JSON.parse(answer) as { state?: { messages: number } }).state?.messages ?? 0),
    }),
  );
  link.subscribe("bench.info");
  let [firstAt, firstCount] = [0, 0];
  for (;;) {
    const messages = await new Promise<number>((resolve) => {
      answered = resolve;
      link.publish(`$JS.API.STREAM.INFO.${hubStream}`, "", "bench.info");
      // JetStream may not answer while it starts
      setTimeout(resolve, 500, 0);
    });
    const at = nowMs();
    if (messages > 0 && firstAt === 0) [firstAt, firstCount] = [at, messages];
    if (messages >= count) {
      link.end();
      return { storedPerSecond: ((messages - firstCount) / Math.max(1, at - firstAt)) * 1000, storedAt: at };
    }
    await new Promise((resolve) => setTimeout(resolve, askEveryMs));
  }
}
