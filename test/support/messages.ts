import { randomUUID } from "node:crypto";
import { type CloudEvent, makeEvent } from "../../protocol/index.ts";

type Overrides = Partial<Parameters<typeof makeEvent>[2]>;

function event(type: string, data: unknown, site: string, overrides: Overrides): CloudEvent {
  return makeEvent(type, data, { id: randomUUID(), site, connector: "test", flow: "test", recordedAt: Date.now(), ...overrides });
}

export function sample(site: string, value: number, overrides: Overrides = {}): CloudEvent {
  const data = {
    equipment: "press-7",
    item: "temperature",
    value,
    unitCode: "CEL",
    quality: "good",
    sourceTimestamp: "2026-01-31T08:00:00.000Z",
  };
  return event("equipment.sampled", data, site, overrides);
}

export function pick(site: string, txnId: string, overrides: Overrides & { moId?: string; value?: string } = {}): CloudEvent {
  const { moId = "hq-mo-42", value = "12.5", ...origin } = overrides;
  const qtyPicked = { value, unitCode: "KGM", scale: 1 };
  const data = {
    txnId,
    taskId: "T-1",
    moId,
    lineNo: 1,
    item: "RM-ALU",
    lot: "L-2291",
    qtyPicked,
    pickedAt: "2026-01-31T08:10:00.000Z",
  };
  return event("pick.confirmed", data, site, origin);
}

export function released(
  site: string,
  moId: string,
  revision = 1,
  overrides: Overrides & { orderName?: string } = {},
): CloudEvent {
  const { orderName = "WH/MO/00042", ...origin } = overrides;
  const quantity = { value: "100", unitCode: "C62", scale: 0 };
  const data = {
    moId,
    orderName,
    revision,
    item: "FG-HSG",
    quantity,
    warehouse: "WH",
    priority: 0,
    components: [],
    operations: [],
  };
  return event("production-order.released", data, site, origin);
}

export function delivered(
  site: string,
  of: CloudEvent,
  outcome: "delivered" | "accepted" | "refused" | "unknown",
  overrides: Overrides & { to?: { connector: string; destination: string } } = {},
): CloudEvent {
  const { to = { connector: "press-7", destination: "write orders" }, ...origin } = overrides;
  const data = {
    messageId: of.id,
    messageType: of.type,
    ...to,
    outcome,
    attempts: 1,
    startedAt: new Date().toISOString(),
    completedAt: new Date().toISOString(),
    orders: [String(of.data.moId)],
  };
  return event("delivery.completed", data, site, origin);
}
