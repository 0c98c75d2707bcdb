import { serveParent } from "../base/child.ts";
import { pickPayload, samplePayload } from "../base/lines.ts";
import { drive, type LoadResult, type LoadRun } from "./driver.ts";
import { MqttLink, type MqttLinkOptions } from "./mqtt-link.ts";
import { openTap } from "./mqtt-tap.ts";

export interface MqttLoadOptions {
  readonly port: number;
  readonly connections: number;
  readonly user?: MqttLinkOptions["user"];
  /**
   * Take a message as acknowledged when the subscriber behind the broker does: it comes to the broker through `tapPort`, where its PUBACKs
   * are seen. Without it the broker's own PUBACK counts.
   */
  readonly tapPort?: number;
}

// publishes at QoS 1 over some connections, as often as it is told to run
await serveParent<MqttLoadOptions, void>(async ({ port, connections, user, tapPort }, parent) => {
  const tap = tapPort === undefined ? undefined : await openTap(tapPort, port);
  parent.say("ready");
  if (tap) {
    await tap.subscribed;
    parent.say("subscribed");
  }
  let links: MqttLink[] | undefined;
  for (;;) {
    const run = await parent.heard<LoadRun>("run");
    links ??= await Promise.all(
      Array.from({ length: connections }, (_, index) =>
        MqttLink.open({ port, clientId: `bench-load-${index}`, clean: true, ...(user === undefined ? {} : { user }) }),
      ),
    );
    const open = links;
    const topics = open.map((_, index) => `bench/LINE-${index}/${run.what}`);
    const payloadOf = run.what === "samples" ? samplePayload : pickPayload;
    const send = (ordinal: number): Promise<void> => {
      const at = ordinal % open.length;
      const link = open[at] as MqttLink;
      const topic = topics[at] as string;
      if (tap) {
        link.publish(topic, payloadOf(ordinal), ignore);
        return tap.nextAcknowledged();
      }
      return new Promise((resolve, reject) => {
        link.publish(topic, payloadOf(ordinal), (acknowledged) => (acknowledged ? resolve() : reject()));
      });
    };
    parent.say("ran", (await drive(run, send, parent)) satisfies LoadResult);
  }
});

function ignore(): void {}
