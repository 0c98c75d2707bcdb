import type { Heard, PlantPeers } from "./plant-peers.ts";
import type { Plant } from "./setup.ts";

/** What reaches the ERP of an order: how many messages of each type the story below makes. */
export const messagesOfStory: Readonly<Record<string, number>> = {
  "mfg.pick.confirmed.v1": 5,
  "mfg.shortage.reported.v1": 1,
  "mfg.finished-goods.confirmed.v1": 2,
  "mfg.material.consumed.v1": 6,
  "mfg.scrap.reported.v1": 1,
};

/**
 * An order of 100, as the plant's own systems tell it. The warehouse brings one component in two lots and only a part of the other, repeats
 * that confirmation, brings the rest, and later a replacement for scrap; the line reports 60 pieces and then, as the last ones, 40.
 * `recorded` resolves when central has so many messages of a type: material is at the line before anybody uses it.
 */
export async function tellOrder(
  peers: PlantPeers,
  plant: Plant,
  order: string,
  recorded: (type: string, count: number) => Promise<void>,
): Promise<void> {
  const { housing, alu, insert } = plant.items;
  const { L1, L2, I1, I2 } = plant.lots;
  const id = `${plant.run}-${order.split("-").at(-1)}`;
  const at = () => new Date().toISOString();
  const pick = (txn: string, lines: readonly (readonly [sku: string, lot: string, qty: string, uom: string])[]) => {
    const task = `PK-${id}`;
    const payload = JSON.stringify({
      txn: `T-${id}-${txn}`,
      task,
      order,
      operator: "u17",
      at: at(),
      lines: lines.map(([sku, lot, qty, uom], index) => ({
        no: index + 1,
        sku,
        lot,
        qty,
        uom,
        from: "BIN-04-2",
        to: "LINE-1",
        sscc: `34012345000000${String(1000 + index)}`,
      })),
    });
    // a pallet's number is a bare JSON number of 18 digits: more than a JavaScript number holds, so it is written into the text
    return { topic: `wms/picks/${task}/confirmed`, payload: payload.replaceAll(/"sscc":"(\d{18})"/g, '"sscc":$1') };
  };
  const consumed = (parts: readonly (readonly [item: string, lot: string, qty: string, uom: string])[]) =>
    parts.map(([item, lot, qty, uom], index) => ({ no: index + 1, item, lot, qty, uom }));
  const finished = (txn: string, lot: string, good: string, final: boolean, parts: Parameters<typeof consumed>[0]) =>
    JSON.stringify({
      txn: `F-${id}-${txn}`,
      order,
      item: housing.code,
      lot,
      good,
      uom: "C62",
      final,
      consumed: consumed(parts),
      at: at(),
    });

  const first = pick("1", [
    [alu.code, L1.name, "8000", "GRM"],
    [alu.code, L2.name, "4.5", "KGM"],
    [insert.code, I1.name, "120", "C62"],
  ]);
  await peers.fromWarehouse(first.topic, first.payload);
  await peers.fromWarehouse(
    `wms/shortages/PK-${id}-8`,
    JSON.stringify({
      txn: `T-${id}-2`,
      task: `PK-${id}-8`,
      order,
      sku: insert.code,
      short: "80",
      uom: "C62",
      cause: "empty-bin",
      at: at(),
    }),
  );
  await recorded("mfg.shortage.reported.v1", 1);
  await peers.fromTerminal(
    "floor/LINE-1/finished",
    finished("1", `B1-${id}`, "60", false, [
      [alu.code, L1.name, "5", "KGM"],
      [alu.code, L2.name, "2.5", "KGM"],
      [insert.code, I1.name, "120", "C62"],
    ]),
  );
  await peers.fromTerminal(
    "floor/LINE-1/scrap",
    JSON.stringify({
      txn: `S-${id}-1`,
      order,
      item: alu.code,
      lot: L1.name,
      qty: "0.4",
      uom: "KGM",
      reason: "burr",
      at: at(),
    }),
  );
  // after a restart a warehouse sends its last minute again
  await peers.fromWarehouse(first.topic, first.payload);
  const rest = pick("3", [[insert.code, I2.name, "80", "C62"]]);
  await peers.fromWarehouse(rest.topic, rest.payload);
  const replacement = pick("4", [[alu.code, L2.name, "0.4", "KGM"]]);
  await peers.fromWarehouse(replacement.topic, replacement.payload);
  await recorded("mfg.pick.confirmed.v1", 5);
  await peers.fromTerminal(
    "floor/LINE-1/finished",
    finished("2", `B2-${id}`, "40", true, [
      [alu.code, L1.name, "2.6", "KGM"],
      [alu.code, L2.name, "2.4", "KGM"],
      [insert.code, I2.name, "80", "C62"],
    ]),
  );
}

/** The order as the warehouse got it, its lines by item. */
export function readOrder({ payload }: Heard) {
  const { lines, ...order } = JSON.parse(payload) as Record<string, unknown> & {
    lines: { no: number; item: string; qty: string; uom: string; op?: number }[];
  };
  return { ...order, lines: lines.map(({ no: _no, ...line }) => line) };
}
