import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** As much of Odoo as a scrap order needs; `validate` decides what happens to the answer. */
export async function startScrapServer() {
  const made: { state: "draft" | "done"; tag: string }[] = [];
  let validations = 0;
  let onLook = (): void => {};
  let onValidate: (commit: () => void) => "answer" | "lose" = (commit) => {
    commit();
    return "answer";
  };
  const rows: Record<string, unknown[]> = {
    "mrp.production": [
      {
        id: 4,
        name: "LYO/MO/00004",
        state: "progress",
        product_id: [1, "FG"],
        product_qty: 100,
        product_uom_id: [1, "Units"],
        production_group_id: false,
        backorder_sequence: 0,
        location_src_id: [21, "Pre"],
        location_dest_id: [16, "Stock"],
        warehouse_id: [2, "Lyon"],
        picking_ids: [],
        priority: "0",
        date_deadline: false,
        write_date: "2026-11-24 02:00:00",
      },
    ],
    "product.product": [{ id: 5, default_code: "RM-ALU", uom_id: [16, "kg"], tracking: "none" }],
  };
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => {
      const [model = "", method = ""] = (request.url ?? "").replace("/json/2/", "").split("/");
      const args = JSON.parse(body) as {
        domain?: [string, string, unknown][];
        vals_list?: { message_ids: [0, 0, { message_id: string }][] }[];
        ids?: number[];
      };
      const send = (value: unknown) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
      if (method === "precision_get") return send(2);
      if (model === "mail.message") {
        onLook();
        return send(
          made.flatMap((scrap, index) =>
            scrap.tag === args.domain?.[0]?.[2]
              ? [{ id: index + 1, model: "stock.scrap", res_id: index + 1, message_id: scrap.tag }]
              : [],
          ),
        );
      }
      if (model === "stock.scrap" && method === "create") {
        made.push({ state: "draft", tag: args.vals_list![0]!.message_ids[0]![2].message_id });
        return send([made.length]);
      }
      if (model === "stock.scrap" && method === "search_read")
        return send(made.map((scrap, index) => ({ id: index + 1, name: `SP/0000${index + 1}`, state: scrap.state })));
      if (method === "action_validate") {
        validations += 1;
        const verdict = onValidate(() => {
          made[0]!.state = "done";
        });
        return verdict === "answer" ? send(true) : response.destroy();
      }
      return send(rows[model] ?? []);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    validations: () => validations,
    /** Called at each look for a message that may be there. */
    onLook(seen: () => void) {
      onLook = seen;
    },
    onValidate(decide: typeof onValidate) {
      onValidate = decide;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
