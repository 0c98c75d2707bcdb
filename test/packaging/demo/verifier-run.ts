import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import type { LedgerMessage, MessagesAnswer } from "../../../central/http/views.ts";
import type { Entry, Fact } from "../../../packaging/demo/simulators/entry.ts";
import { makeEvent, toQuantity } from "../../../protocol/index.ts";

/** A small run of one plant as its systems wrote it down and central recorded it: clean, until a test changes it. */
export interface SmallRun {
  readonly wms: Entry[];
  readonly terminals: Entry[];
  readonly devices: Entry[];
  readonly scheduler: Entry[];
  readonly press: object[];
  readonly erp: Record<string, unknown>[];
  readonly ledger: Record<string, unknown>[];
}

const at = (second: number): string => `2026-03-01T08:00:${String(second).padStart(2, "0")}.000Z`;
const kg = (value: string) => toQuantity(value, "KGM");

export function smallRun(): SmallRun {
  const run: SmallRun = { wms: [], terminals: [], devices: [], scheduler: [], press: [], erp: [], ledger: [] };
  let id = 0;
  const record = (type: string, data: object, site = "lyon"): void => {
    id += 1;
    run.ledger.push(makeEvent(type, data, { id: `m-${id}`, site, connector: "wms", recordedAt: Date.parse(at(1)) }));
  };
  const say = (list: Entry[], fact: Fact): void => {
    list.push({ kind: "sending", at: at(1), fact }, { kind: "acked", at: at(1), txn: fact.txn });
  };
  const book = (what: string, key: string, moId: string, type?: string): void => {
    run.erp.push({ at: at(2), kind: "booked", what, txn: key, ...(what === "note" ? { type } : { txns: [key] }), moId });
  };

  for (const n of [1, 2]) {
    const order = `hq-mo-${n}`;
    const orderName = `WH/MO/0000${n}`;
    run.erp.push({
      at: at(0),
      kind: "released",
      moId: order,
      orderName,
      warehouse: "LYO",
      item: "FG-HSG",
      quantity: 100,
      revision: 1,
    });
    const components = [{ lineNo: 1, item: "RM-ALU", quantity: kg("12.5") }];
    record(
      "production-order.released",
      {
        moId: order,
        orderName,
        revision: 1,
        item: "FG-HSG",
        quantity: toQuantity("100", "C62"),
        warehouse: "LYO",
        priority: 0,
        components,
        operations: [],
      },
      "hq",
    );
    run.wms.push({ kind: "order", at: at(1), order, revision: 1, effect: true });
    run.scheduler.push({ kind: "order", at: at(1), order, revision: 1, effect: true });
    run.press.push({ at: at(1), kind: "order", moId: order });

    for (const [part, qty] of [
      ["1", "6.25"],
      ["2", "6.25"],
    ] as const) {
      const txn = `T-${n}${part}`;
      const line = { no: 1, sku: "RM-ALU", lot: "L-2291", qty, uom: "KGM", sscc: `34012345000000${n}00${part}` };
      say(run.wms, { fact: "pick", txn, task: "PK-7", order, lines: [line] });
      record("pick.confirmed", {
        txnId: txn,
        taskId: "PK-7",
        moId: order,
        lineNo: 1,
        item: "RM-ALU",
        lot: "L-2291",
        qtyPicked: kg(qty),
        sscc: line.sscc,
        pickedAt: at(1),
      });
      book("pick", `${txn}/1`, order);
    }
    const shortage = { fact: "shortage", txn: `T-${n}9`, order, sku: "RM-ALU", short: "2.5", uom: "KGM" } as const;
    say(run.wms, shortage);
    record("shortage.reported", {
      shortageId: shortage.txn,
      moId: order,
      item: "RM-ALU",
      qtyShort: kg("2.5"),
      cause: "empty-bin",
      reportedAt: at(1),
    });
    book("note", shortage.txn, order, "mfg.shortage.reported.v1");

    for (const [part, final] of [
      ["1", false],
      ["2", true],
    ] as const) {
      const txn = `F-${n}${part}`;
      say(run.terminals, {
        fact: "finished",
        txn,
        order,
        item: "FG-HSG",
        lot: "B-1",
        good: "50",
        uom: "C62",
        final,
        consumed: [{ no: 1, item: "RM-ALU", lot: "L-2291", qty: "6.25", uom: "KGM" }],
      });
      record("finished-goods.confirmed", {
        txnId: txn,
        moId: order,
        item: "FG-HSG",
        lot: "B-1",
        goodQty: toQuantity("50", "C62"),
        final,
        genealogy: [],
        confirmedAt: at(1),
      });
      record("material.consumed", {
        txnId: txn,
        lineNo: 1,
        moId: order,
        item: "RM-ALU",
        lot: "L-2291",
        qty: kg("6.25"),
        use: "Consumed",
        consumedAt: at(1),
      });
      book("note", `${txn}/1`, order, "mfg.material.consumed.v1");
      book("finished", txn, order);
    }
    say(run.terminals, { fact: "scrap", txn: `S-${n}`, order, item: "RM-ALU", lot: "L-2291", qty: "0.4", uom: "KGM" });
    record("scrap.reported", {
      txnId: `S-${n}`,
      moId: order,
      item: "RM-ALU",
      lot: "L-2291",
      qty: kg("0.4"),
      reason: { code: "burr" },
      reportedAt: at(1),
    });
    book("scrap", `S-${n}`, order);

    say(run.scheduler, {
      fact: "schedule",
      txn: `R-${n}`,
      revision: n,
      workCentres: [{ workCentre: "PRESS-7", orders: [order] }],
    });
    const entries = [{ moId: order, opSeq: 10, workCentre: "PRESS-7", start: at(1), end: at(2), sequenceNo: 1 }];
    record("schedule.revised", { scheduleId: "plan", revision: n, workCentre: "PRESS-7", entries });
  }

  for (const second of [1, 2, 3, 4]) {
    const value = 2 + second / 100;
    run.devices.push(
      { kind: "sample", device: "VIB-01", item: "vibration", value, sampleAt: at(second) },
      { kind: "sample-acked", device: "VIB-01", sampleAt: at(second) },
    );
    record("equipment.sampled", {
      equipment: "LINE-1/VIB-01",
      item: "vibration",
      value,
      quality: "good",
      sourceTimestamp: at(second),
    });
  }
  // the press sets a value each second; the gateway was away between the second and the fifth, and said so
  for (const second of [0, 1, 2, 3, 4, 5])
    run.press.push({ at: at(second), kind: "value", item: "Strokes", value: String(second) });
  for (const second of [1, 2, 5]) {
    const node = "nsu=urn:plantgate:demo:press;s=Strokes";
    record("equipment.sampled", {
      equipment: "press.press-1",
      item: "strokes",
      value: String(second),
      quality: "good",
      sourceTimestamp: at(second),
      node,
    });
  }
  record("equipment.sampling-interrupted", {
    equipment: "press.press-1",
    item: "strokes",
    after: at(2),
    until: at(5),
    cause: "gateway-restarted",
  });
  return run;
}

export interface Judged {
  readonly code: number;
  readonly text: string;
  /** The last line. */
  readonly result: { readonly business: Record<string, number>; readonly samples: Record<string, number> };
}

/** Writes the run's files into `folder`, serves its ledger as central does, in pages of three, and runs the verifier as a program. */
export async function verify(folder: string, run: SmallRun): Promise<Judged> {
  const write = (name: string, lines: readonly object[]): string => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    return join(folder, name);
  };
  const plan = {
    erp: { site: "hq", file: write("erp.jsonl", run.erp) },
    plants: [
      {
        site: "lyon",
        warehouse: "LYO",
        wms: write("wms.jsonl", run.wms),
        terminals: write("terminals.jsonl", run.terminals),
        devices: write("devices.jsonl", run.devices),
        scheduler: write("scheduler.jsonl", run.scheduler),
        presses: [{ name: "press-1", file: write("press-1.jsonl", run.press) }],
      },
    ],
    pressItems: ["Strokes"],
  };
  writeFileSync(join(folder, "run.json"), JSON.stringify(plan));
  writeFileSync(join(folder, "token"), "the-token\n");
  const messages = run.ledger.map(
    (event, index): LedgerMessage => ({
      position: index + 1,
      site: String(event.site),
      lane: "transaction",
      epoch: "e",
      sequence: index + 1,
      recordedAt: at(3),
      event,
    }),
  );
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://central");
    if (pathname !== "/v1/messages" || request.headers.authorization !== "Bearer the-token") {
      response.writeHead(403).end();
      return;
    }
    const page = messages.filter(({ position }) => position > Number(searchParams.get("after"))).slice(0, 3);
    const answer: MessagesAnswer = { messages: page, next: page.at(-1)?.position ?? null, incarnation: "test" };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const program = join(import.meta.dirname, "../../../packaging/demo/verifier/main.ts");
  const args = [
    program,
    "--plan",
    join(folder, "run.json"),
    "--central",
    `http://127.0.0.1:${port}`,
    "--token-file",
    join(folder, "token"),
    "--json",
  ];
  try {
    return await new Promise((resolve) => {
      execFile(process.execPath, args, (error, stdout, stderr) => {
        const code = error ? Number(error.code) : 0;
        resolve({
          code,
          text: stdout + stderr,
          result: code < 2 ? JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") : undefined,
        });
      });
    });
  } finally {
    server.close();
    server.closeAllConnections();
  }
}
