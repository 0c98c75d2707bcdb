import { serveParent } from "../base/child.ts";
import { MqttLink } from "./mqtt-link.ts";

// makes a subscriber's session and leaves: what comes from then on waits for it
await serveParent<{ port: number; topic: string }, void>(async ({ port, topic }) => {
  const link = await MqttLink.open({ port, clientId: "bench-consumer", clean: false });
  await link.subscribe(topic);
  link.end();
});
