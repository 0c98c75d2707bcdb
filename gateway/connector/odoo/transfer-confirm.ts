import { pickConfirmed } from "../../../protocol/index.ts";
import { entriesOn, findEntry, noteCommand, sameMessage, type Tag, tagOf } from "./journal.ts";
import { type Desk, dataOf, done, type Found, notDone, type Operation, wizardOf } from "./operation.ts";
import { findProduct, type OrderChain, readChain, requireLot } from "./order.ts";
import { toOdooQuantity, Unbookable } from "./quantities.ts";
import { type MoveLine, moveLine, type Picking, type PickMove, type Product, picking, pickMove, quant } from "./records.ts";

/**
 * `pick.confirmed` to the order's pick (Stock to Pre-Production). One message is one line; what is not picked yet goes on in Odoo's
 * backorder pick, which the next message finds. Order of steps: lines and note in one absolute write, then validation, which Odoo
 * does once however often it is asked, then a look at the state.
 */
export const transferConfirm: Operation = {
  async find(desk, event) {
    const tag = tagOf(event);
    const entry = await findEntry(desk.client, "stock.picking", tag, desk.signal);
    return entry ? stateOf(desk, entry.record, tag) : notDone;
  },

  async book(desk, event) {
    const data = dataOf(pickConfirmed, event);
    const tag = tagOf(event);
    const { client, signal } = desk;
    const chain = await readChain(desk, data.moId);
    const product = await findProduct(client, data.item, signal);
    const lot = await requireLot(client, product, data.lot ?? data.serial, signal);
    const amount = toOdooQuantity(data.qtyPicked, product.uom_id[1], desk.measures).toNumber();
    if (amount === 0) throw new Unbookable("nothing was picked");
    const note = noteCommand("stock.picking", tag, sentence(data));

    let noted = (await findEntry(client, "stock.picking", tag, signal))?.record;
    let picks = await picksOf(desk, chain);
    let moves = await openMoves(desk, picks);
    let move = chooseMove(moves, product.id, data.lineNo, noted);
    if (!move) {
      noted = await makeExtraPick(desk, chain, picks, { product, amount, note, made: noted });
      picks = await client.search("stock.picking", picking, [["id", "=", noted]], signal);
      moves = await openMoves(desk, picks);
      move = chooseMove(moves, product.id, data.lineNo, noted);
    }
    const pick = picks.find((candidate) => move?.picking_id && candidate.id === move.picking_id[0]);
    if (!move || !pick) throw new Unbookable(`the pick of ${data.item} for ${data.moId} was cancelled in Odoo`);

    const lines = await client.search("stock.move.line", moveLine, [["picking_id", "=", pick.id]], signal);
    const at = lot === false ? move.location_id[0] : await placeOf(desk, product.id, lot, pick.location_id[0]);
    const picked = { product: product.id, unit: product.uom_id[0], lot, amount, at, pick: pick.id };
    const values = { move_ids: pickCommands(moves, lines, move, picked), message_ids: noted === pick.id ? [] : [note] };
    await client.write("stock.picking", [pick.id], values, signal);
    const context = { skip_backorder: true, lang: "en_US" };
    const answer = await client.invoke("stock.picking", "button_validate", [pick.id], { context }, { signal, nature: "write" });
    const after = await stateOf(desk, pick.id, tag);
    return after.kind === "done" ? after : { kind: "refused", reason: `Odoo did not validate ${pick.name}.${wizardOf(answer)}` };
  },
};

/** Done when the picking is, and when this message's lines are the ones on it: the last note tells whose they are. */
async function stateOf(desk: Desk, id: number, tag: Tag): Promise<Found> {
  const [row] = await desk.client.search("stock.picking", picking, [["id", "=", id]], desk.signal);
  if (row?.state !== "done") return notDone;
  const last = (await entriesOn(desk.client, "stock.picking", [id], desk.signal)).at(-1);
  return last && sameMessage(last.tag, tag) ? done(row.name) : notDone;
}

/** The order's picks, done ones too: Stock to where its components are taken from. */
async function picksOf(desk: Desk, chain: OrderChain): Promise<Picking[]> {
  const ids = [...new Set(chain.members.flatMap((order) => order.picking_ids))];
  if (ids.length === 0) return [];
  const rows = await desk.client.search("stock.picking", picking, [["id", "in", ids]], desk.signal);
  return rows.filter((row) => row.location_dest_id[0] === chain.released.location_src_id[0]);
}

/**
 * A pick of its own for what the warehouse brought and Odoo does not ask for any more: a replacement for scrap, another item. It belongs
 * to the order's group. Made with the note in one call, so that an attempt that ended there goes on with it.
 * @returns its id
 */
async function makeExtraPick(
  desk: Desk,
  chain: OrderChain,
  picks: readonly Picking[],
  extra: { product: Product; amount: number; note: unknown; made: number | undefined },
): Promise<number> {
  const { client, signal } = desk;
  let id = extra.made;
  if (id === undefined) {
    const like = picks.at(-1);
    if (!like)
      throw new Unbookable(`${chain.released.name} has no pick in Odoo: its warehouse manufactures without picking first`);
    const [from, to] = [like.location_id[0], like.location_dest_id[0]];
    const move = {
      product_id: extra.product.id,
      product_uom_qty: extra.amount,
      product_uom: extra.product.uom_id[0],
      location_id: from,
      location_dest_id: to,
      production_group_id: chain.released.production_group_id ? chain.released.production_group_id[0] : false,
    };
    const values = {
      picking_type_id: like.picking_type_id[0],
      location_id: from,
      location_dest_id: to,
      origin: (chain.open ?? chain.released).name,
      move_ids: [[0, 0, move]],
      message_ids: [extra.note],
    };
    [id] = await client.create("stock.picking", [values], signal);
    if (id === undefined) throw new Unbookable("Odoo made no pick");
  }
  await client.invoke("stock.picking", "action_confirm", [id], {}, { signal, nature: "write" });
  return id;
}

async function openMoves(desk: Desk, picks: readonly Picking[]): Promise<PickMove[]> {
  if (picks.length === 0) return [];
  return desk.client.search(
    "stock.move",
    pickMove,
    [
      ["picking_id", "in", picks.map((pick) => pick.id)],
      ["state", "not in", ["done", "cancel"]],
    ],
    desk.signal,
  );
}

/** The open pick move of a product: the one this message was noted on before, else the one that serves the named line, else the oldest. */
export function chooseMove(
  moves: readonly PickMove[],
  productId: number,
  lineNo: number,
  noted: number | undefined,
): PickMove | undefined {
  const same = moves.filter((move) => move.product_id[0] === productId);
  return (
    same.find((move) => move.picking_id && move.picking_id[0] === noted) ??
    same.find((move) => move.move_dest_ids.includes(lineNo)) ??
    same[0]
  );
}

export interface PickLine {
  readonly product: number;
  readonly unit: number;
  readonly lot: number | false;
  readonly amount: number;
  readonly at: number;
  readonly pick: number;
}

/** The commands for a picking's `move_ids` after which exactly one line is picked; all others stay reserved and go to the backorder. */
export function pickCommands(
  moves: readonly PickMove[],
  lines: readonly MoveLine[],
  target: PickMove,
  picked: PickLine,
): unknown[] {
  const commands: unknown[] = [];
  for (const move of moves) {
    if (!move.picking_id || move.picking_id[0] !== picked.pick) continue;
    const own = lines.filter((line) => line.move_id && line.move_id[0] === move.id);
    if (move.id !== target.id) {
      const marked = own.filter((line) => line.picked);
      if (marked.length > 0)
        commands.push([1, move.id, { move_line_ids: marked.map((line) => [1, line.id, { picked: false }]) }]);
      continue;
    }
    const reused = own.find((line) => (line.lot_id ? line.lot_id[0] : false) === picked.lot);
    const others = own.filter((line) => line !== reused && line.picked).map((line) => [1, line.id, { picked: false }]);
    const line = reused
      ? [1, reused.id, { quantity: picked.amount, product_uom_id: picked.unit, picked: true }]
      : [
          0,
          0,
          {
            product_id: picked.product,
            product_uom_id: picked.unit,
            lot_id: picked.lot,
            quantity: picked.amount,
            location_id: picked.at,
            location_dest_id: move.location_dest_id[0],
            picking_id: picked.pick,
            picked: true,
          },
        ];
    commands.push([1, move.id, { move_line_ids: [...others, line] }]);
  }
  return commands;
}

/** Where in `within` Odoo has most of a lot. Its bins are coarser than the WMS's, so the message's own bin is not looked for. */
async function placeOf(desk: Desk, product: number, lot: number, within: number): Promise<number> {
  const rows = await desk.client.search(
    "stock.quant",
    quant,
    [
      ["product_id", "=", product],
      ["lot_id", "=", lot],
      ["location_id", "child_of", within],
      ["quantity", ">", 0],
    ],
    desk.signal,
    { order: "quantity desc", limit: 1 },
  );
  return rows[0]?.location_id[0] ?? within;
}

function sentence(data: {
  txnId: string;
  item: string;
  lot?: string | undefined;
  qtyPicked: { value: string; unitCode: string };
  operator?: string | undefined;
}): string {
  const lot = data.lot === undefined ? "" : `, lot ${data.lot}`;
  return `Picked ${data.qtyPicked.value} ${data.qtyPicked.unitCode} of ${data.item}${lot} (${data.txnId}${data.operator ? `, ${data.operator}` : ""})`;
}
