import { floorUser, webhookPath } from "../plant/documents.ts";
import type { GatewayNode } from "../plant/gateway-node.ts";
import type { Book } from "./book.ts";
import { MqttSender } from "./mqtt-sender.ts";
import type { Sender } from "./sender.ts";
import { WebhookSender } from "./webhook-sender.ts";

/** Messages a second that are offered, by way in; 0: none. */
export interface Rates {
  readonly finishedQos1: number;
  readonly finishedQos2: number;
  readonly shortages: number;
  readonly samplesQos1: number;
  readonly samplesQos2: number;
}

export const defaultRates: Rates = { finishedQos1: 900, finishedQos2: 300, shortages: 100, samplesQos1: 2000, samplesQos2: 300 };

/** All senders of one plant. */
export class Load implements AsyncDisposable {
  readonly senders: readonly Sender[];

  /** `prefix` keeps streams of several plants apart. */
  constructor(gateway: GatewayNode, floorPort: number, rates: Rates = defaultRates, prefix = "") {
    const mqtt = (name: string, kind: "finished" | "sample", qos: 1 | 2, perSecond: number): MqttSender[] =>
      perSecond === 0
        ? []
        : [
            new MqttSender({
              port: floorPort,
              username: floorUser.username,
              password: floorUser.password,
              // a device that is not acknowledged takes the next sample; what has an idempotency key, or QoS 2, is repeated
              stream: { name: `${prefix}${name}`, kind, keys: 40, repeats: kind === "finished" || qos === 2 },
              qos,
              window: 400,
              perSecond,
            }),
          ];
    this.senders = [
      ...mqtt("f1", "finished", 1, rates.finishedQos1),
      ...mqtt("f2", "finished", 2, rates.finishedQos2),
      ...mqtt("s1", "sample", 1, rates.samplesQos1),
      ...mqtt("s2", "sample", 2, rates.samplesQos2),
      ...(rates.shortages === 0
        ? []
        : [
            new WebhookSender({
              url: () => gateway.url,
              path: webhookPath,
              name: `${prefix}h`,
              callers: 6,
              perSecond: rates.shortages,
            }),
          ]),
    ];
  }

  get books(): readonly Book[] {
    return this.senders.flatMap((sender) => sender.books);
  }

  get acknowledged(): number {
    return this.books.reduce((sum, book) => sum + book.acknowledged, 0);
  }

  get published(): number {
    return this.books.reduce((sum, book) => sum + book.published, 0);
  }

  get troubles(): Record<string, number> {
    const all: Record<string, number> = {};
    for (const { troubles } of this.senders)
      for (const [name, count] of Object.entries(troubles)) all[name] = (all[name] ?? 0) + count;
    return all;
  }

  /** Publishes nothing new and waits until everything under way is acknowledged; what is not by the deadline is said. */
  async finish(deadlineMs: number): Promise<string[]> {
    for (const sender of this.senders) sender.finish();
    const settled = await Promise.all(this.senders.map((sender) => sender.settled(deadlineMs)));
    return this.senders.flatMap((sender, index) =>
      settled[index]
        ? []
        : [
            `sender ${sender.books[0]?.stream.name}: ${sender.books.reduce((sum, book) => sum + book.published - book.acknowledged, 0)} messages are not acknowledged after ${deadlineMs} ms`,
          ],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.senders.map((sender) => sender[Symbol.asyncDispose]()));
  }
}
