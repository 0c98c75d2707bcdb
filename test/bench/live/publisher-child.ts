import { type Parent, serveParent } from "../base/child.ts";
import { MqttLink, type MqttLinkOptions } from "../load/mqtt-link.ts";
import { openWatch } from "./watch.ts";

export interface LiveOptions {
  readonly port: number;
  readonly user: NonNullable<MqttLinkOptions["user"]>;
  readonly centralUrl: string;
  readonly token: string;
  readonly perSecond: number;
}
export interface LiveLatencies {
  /** From the call that publishes to the answer of central's API that shows it, of each message that was seen. */
  readonly latenciesMs: readonly number[];
  /** From the same call to the gateway's PUBACK: the part of it that lies in the plant. */
  readonly pubackMs: readonly number[];
  /** When each was published, by the wall clock. */
  readonly publishedAt: readonly number[];
  readonly seenBy: string;
}

const stallMs = 60_000;

// publishes transactions to the gateway's broker and watches central's API for them; one clock for both
await serveParent<LiveOptions, LiveLatencies>(async ({ port, user, centralUrl, token, perSecond }, parent) => {
  const link = await MqttLink.open({ port, clientId: "bench-live", clean: true, user });
  parent.say("ready");
  await parent.heard("go");
  const publishedAt: number[] = [];
  const latenciesMs: number[] = [];
  const pubackMs: number[] = [];
  const watch = openWatch({ url: centralUrl, token });
  const publishing = publish(link, perSecond, { publishedAt, pubackMs }, parent);
  let over = false;
  void publishing.then(() => {
    over = true;
  });
  let movedAt = performance.now();
  // messages of one lane become visible in their order
  while ((!over || latenciesMs.length < publishedAt.length) && performance.now() - movedAt < stallMs) {
    const visible = await watch.visible(latenciesMs.length);
    const at = performance.now();
    while (latenciesMs.length < visible) latenciesMs.push(at - (publishedAt[latenciesMs.length] as number));
    if (visible > 0 || publishedAt.length === latenciesMs.length) movedAt = at;
  }
  link.end();
  return {
    latenciesMs,
    pubackMs,
    publishedAt: publishedAt.map((at) => performance.timeOrigin + at),
    seenBy: watch.description,
  };
});

/** At a steady rate until the parent says stop; ends when the last one is acknowledged. */
async function publish(
  link: MqttLink,
  perSecond: number,
  { publishedAt, pubackMs }: { publishedAt: number[]; pubackMs: number[] },
  parent: Parent,
): Promise<void> {
  let stopped = false;
  void parent.heard("stop").then(() => {
    stopped = true;
  });
  const acknowledgements: Promise<void>[] = [];
  const began = performance.now();
  while (!stopped) {
    const due = ((performance.now() - began) / 1000) * perSecond;
    while (publishedAt.length < due) {
      const payload = livePayload(publishedAt.length);
      const at = performance.now();
      publishedAt.push(at);
      acknowledgements.push(
        new Promise((resolve, reject) =>
          link.publish("bench/LINE-1/picks", payload, (acknowledged) => {
            if (!acknowledged) return reject(new Error("the gateway's broker ended the connection"));
            pubackMs.push(performance.now() - at);
            resolve();
          }),
        ),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(acknowledgements);
}

function livePayload(ordinal: number): string {
  const at = new Date().toISOString();
  return `{"txn":"live-${ordinal}","task":"PK-7","order":"live-${ordinal}","operator":"u17","at":"${at}","no":1,"sku":"RM-ALU","lot":"L-2291","qty":"12.5","uom":"KGM","from":"BIN-04-2","to":"LINE-1"}`;
}
