import { PlantgateError } from "../base/error.ts";
import { equipmentSampled, samplingInterrupted } from "./equipment.ts";
import { itemPublished } from "./item.ts";
import type { MessageType } from "./message-type.ts";
import { finishedGoodsConfirmed, materialConsumed, scrapReported } from "./production.ts";
import { productionOrderReleased } from "./production-order.ts";
import { scheduleRevised } from "./schedule.ts";
import { deliveryCompleted } from "./technical.ts";
import { pickConfirmed, shortageReported } from "./warehouse.ts";

/** Every canonical type, oldest version first. */
export const messageTypes: readonly MessageType[] = [
  productionOrderReleased,
  pickConfirmed,
  shortageReported,
  materialConsumed,
  finishedGoodsConfirmed,
  scrapReported,
  scheduleRevised,
  itemPublished,
  equipmentSampled,
  samplingInterrupted,
  deliveryCompleted,
] as unknown as readonly MessageType[];

const byType = new Map(messageTypes.map((entry) => [entry.type, entry]));

/** Types the gateway itself makes: every site may send them, and nobody has to consume them. */
export const gatewayTypes: ReadonlySet<string> = new Set([samplingInterrupted.type, deliveryCompleted.type]);

/** `pick.confirmed` as configuration writes it, or the full name; undefined when there is no such type. */
export function findMessageType(name: string): MessageType | undefined {
  return byType.get(name) ?? byType.get(`mfg.${name}.v1`);
}

/** @throws PlantgateError INPUT_INVALID for a type we do not know */
export function messageTypeOf(name: string): MessageType {
  const found = findMessageType(name);
  if (!found) throw new PlantgateError("INPUT_INVALID", `unknown message type "${name}"`, { context: { type: name } });
  return found;
}
