import { serveParent } from "../base/child.ts";
import { pickPayload, samplePayload } from "../base/lines.ts";
import { drive, type LoadRun } from "./driver.ts";
import { HttpLink } from "./http-link.ts";

export interface HttpLoadOptions {
  /** The gateway's local listener. */
  readonly url: string;
  /** Connections kept alive; each carries one request at a time. */
  readonly connections: number;
}

// posts to a webhook over kept connections, as often as it is told to run
await serveParent<HttpLoadOptions, void>(async ({ url, connections }, parent) => {
  const { hostname, port } = new URL(url);
  parent.say("ready");
  for (;;) {
    const run = await parent.heard<LoadRun>("run");
    // a server ends connections that nobody used for some seconds
    const free = await Promise.all(Array.from({ length: connections }, () => HttpLink.open(hostname, Number(port))));
    const payloadOf = run.what === "samples" ? samplePayload : pickPayload;
    const send = async (ordinal: number): Promise<void> => {
      const link = free.pop() as HttpLink;
      try {
        const status = await link.post(`/in/hooks/${run.what}`, payloadOf(ordinal));
        if (status !== 202) throw new Error(`the gateway answered ${status}`);
      } finally {
        free.push(link);
      }
    };
    parent.say("ran", await drive(run, send, parent));
    for (const link of free) link.end();
  }
});
