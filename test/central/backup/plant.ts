import { expect } from "vitest";
import type { MessagesAnswer } from "../../../central/http/views.ts";
import type { TestCentral } from "../../support/central.ts";
import { pick } from "../../support/messages.ts";
import { requireService } from "../../support/services.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

const tools = (await requireService("pg_dump")) !== undefined;
/** Storages that can be backed up here: PostgreSQL where its own tools are. */
export const kinds = (await storages()).filter((kind) => kind === "sqlite" || tools);

export const messagesOf = async (central: TestCentral): Promise<MessagesAnswer["messages"]> =>
  (await central.admin<MessagesAnswer>("GET", "/v1/messages?limit=5000")).body.messages;
export const txnOf = ({ event }: MessagesAnswer["messages"][number]): string =>
  (event as unknown as { data: { txnId: string } }).data.txnId;

/** A central with a plant that sends picks. */
export async function openPlant(central: TestCentral) {
  const plant = await central.addSite("plant-a");
  await central.admin("POST", "/v1/sites/plant-a/revisions", {
    files: siteDocuments({ site: "plant-a", send: ["pick.confirmed"] }),
  });
  const lane = plant.lane("transaction");
  await plant.hello([lane]);
  const send = async (id: string): Promise<void> => {
    lane.append([pick("plant-a", id)]);
    expect((await plant.send(lane, lane.batch(lane.last))).status).toBe(200);
  };
  return { plant, lane, send };
}
