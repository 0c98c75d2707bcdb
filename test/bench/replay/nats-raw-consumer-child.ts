import { serveParent } from "../base/child.ts";
import { NatsLink } from "../load/nats-link.ts";
import { Arrivals } from "./arrivals.ts";
import { type NatsConsumed, rawDeliverySubject, watchStream } from "./nats-hub.ts";
import { dial, type PeerConsumerOptions } from "./peer-consumed.ts";

// a consumer at the hub on a bare socket: the server pushes as fast as it can
await serveParent<PeerConsumerOptions, NatsConsumed>(async ({ port, first, count }) => {
  const arrivals = new Arrivals(first, count);
  const watched = watchStream(port, count);
  const link = await dial(() => NatsLink.open({ port, onMessage: (_, line) => arrivals.take(line) }));
  link.subscribe(rawDeliverySubject);
  const consumed = await arrivals.all();
  const stored = await watched;
  link.end();
  return { ...consumed, ...stored };
});
