import { generateGatewayKey, TestGateway, type TestLane } from "../../support/gateway-client.ts";
import { released } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import type { CentralNode } from "./central-node.ts";

/** The ERP's side, spoken on the wire: releases orders to the plants. */
export class Office {
  readonly #gateway: TestGateway;
  readonly #lane: TestLane;

  private constructor(gateway: TestGateway) {
    this.#gateway = gateway;
    this.#lane = gateway.lane("transaction");
  }

  static async open(central: CentralNode): Promise<Office> {
    const { publicKey, privateKey } = await generateGatewayKey();
    await central.post("/v1/sites", { name: "hq", publicKey });
    await central.post("/v1/sites/hq/revisions", { files: siteDocuments({ site: "hq", send: ["production-order.released"] }) });
    const office = new Office(new TestGateway({ url: () => central.url, site: "hq", privateKey }));
    const { status } = await office.#gateway.hello([office.#lane]);
    if (status !== 200) throw new Error(`hello of hq: ${status}`);
    return office;
  }

  /** @throws Error when central does not take it */
  async release(order: string): Promise<void> {
    const first = this.#lane.last + 1;
    this.#lane.append([released("hq", order)]);
    const answer = await this.#gateway.send(this.#lane, this.#lane.batch(first));
    if (answer.status !== 200) throw new Error(`order ${order}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
}
