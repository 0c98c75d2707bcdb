import { serveParent } from "../base/child.ts";
import { MqttLink } from "../load/mqtt-link.ts";
import { Arrivals } from "./arrivals.ts";
import { dial, type PeerConsumed, type PeerConsumerOptions } from "./peer-consumed.ts";

// a consumer at the hub's broker: goes on with its session as soon as the hub is back
await serveParent<PeerConsumerOptions & { topic: string }, PeerConsumed>(async ({ port, first, count }) => {
  const arrivals = new Arrivals(first, count);
  const onMessage = (payload: Buffer): void => arrivals.take(payload.toString("latin1"));
  const link = await dial(() => MqttLink.open({ port, clientId: "bench-consumer", clean: false, onMessage }));
  const consumed = await arrivals.all();
  link.end();
  return consumed;
});
