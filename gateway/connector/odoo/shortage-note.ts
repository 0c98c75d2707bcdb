import { shortageReported } from "../../../protocol/index.ts";
import { findEntry, tagOf, writeTag } from "./journal.ts";
import { dataOf, done, notDone, type Operation } from "./operation.ts";
import { readChain } from "./order.ts";

/** `shortage.reported` to a message in the order's chatter, which Odoo sends to its followers. The message is the effect. */
export const shortageNote: Operation = {
  async find(desk, event) {
    const entry = await findEntry(desk.client, "mrp.production", tagOf(event), desk.signal);
    return entry ? done(`note on order ${entry.record}`) : notDone;
  },

  async book(desk, event) {
    const data = dataOf(shortageReported, event);
    const chain = await readChain(desk, data.moId);
    const order = chain.open ?? chain.released;
    const expected = data.expectedAt === undefined ? "" : `, expected ${data.expectedAt}`;
    const body = `Short of ${data.qtyShort.value} ${data.qtyShort.unitCode} of ${data.item}: ${data.cause}${expected} (${data.shortageId})`;
    await desk.client.invoke(
      "mrp.production",
      "message_post",
      [order.id],
      { body, message_id: writeTag(tagOf(event)) },
      { signal: desk.signal, nature: "write" },
    );
    return done(order.name);
  },
};
