import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { serveParent } from "../base/child.ts";
import { Arrivals } from "./arrivals.ts";
import { hubStream, type NatsConsumed, reader, watchStream } from "./nats-hub.ts";
import { dial, type PeerConsumerOptions } from "./peer-consumed.ts";

const messagesAtOnce = 5000;

// a consumer at the hub on the official client, as its documentation writes one
await serveParent<PeerConsumerOptions, NatsConsumed>(async ({ port, first, count }) => {
  const arrivals = new Arrivals(first, count);
  const watched = watchStream(port, count);
  const connection = await dial(() => connect({ servers: `127.0.0.1:${port}`, reconnect: false }));
  const consumer = await dial(() => jetstream(connection).consumers.get(hubStream, reader));
  const messages = await consumer.consume({
    max_messages: messagesAtOnce,
    callback: (message) => arrivals.take(message.string()),
  });
  const consumed = await arrivals.all();
  const stored = await watched;
  messages.stop();
  await connection.close();
  return { ...consumed, ...stored };
});
