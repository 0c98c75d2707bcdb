import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { newMachine, order, tick } from "../../../../packaging/demo/simulators/press/machine.ts";
import type { Deed } from "../../../../packaging/demo/simulators/press/truth-log.ts";
import { pressItems, startConnector, until } from "../../../gateway/connector/opcua/harness.ts";
import { startPressProcess } from "../../../support/opcua-server.ts";

/** Takes two thirds of a processor, in bursts. */
const burner =
  "const burn = () => { const end = performance.now() + 40; while (performance.now() < end); setTimeout(burn, 20); }; burn();";

describe("the press", () => {
  it("shows a subscriber every value that it notes, with the same time stamp, on a busy computer", async () => {
    await using press = await startPressProcess();
    const items = {
      strokes: "Strokes",
      temp: "Temp",
      state: "State",
      order: "CurrentOrder",
      good: "GoodCount",
      scrap: "ScrapCount",
    };
    // two of the items ask for sampling at the pace of the press's own ticks, or slower
    const config = {
      items: {
        ...pressItems,
        strokes: { node: pressItems.strokes.node },
        temp: { node: pressItems.temp.node, sampling: "250ms" },
      },
    };
    await using gateway = await startConnector(press.endpoint, { items: Object.keys(items), config });
    const { recorder } = gateway;
    await until("it is up", () => gateway.report().state === "up");
    const burners = [new Worker(burner, { eval: true }), new Worker(burner, { eval: true })];
    await gateway.connector.deliver!(gateway.write("nextOrder", "hq-mo-7"), new AbortController().signal);
    await until("forty strokes", () => recorder.samples("strokes").some(({ value }) => value === "40"));
    await Promise.all(burners.map((worker) => worker.terminate()));
    await press.stop();
    const truth = (await press.truth()).filter((deed): deed is Extract<Deed, { kind: "value" }> => deed.kind === "value");
    for (const [item, register] of Object.entries(items)) {
      const seen = recorder.samples(item);
      const first = seen[0]!.sourceTimestamp;
      const last = seen.at(-1)!.sourceTimestamp;
      const noted = truth.filter((deed) => deed.item === register && deed.at >= first && deed.at <= last);
      expect(seen.map(({ sourceTimestamp, value }) => [sourceTimestamp, value])).toEqual(
        noted.map(({ at, value }) => [at, value]),
      );
      expect(recorder.interruptions(item)).toEqual([]);
    }
    expect(recorder.samples("strokes").length).toBeGreaterThan(40);
    expect(recorder.samples("order").at(-1)?.value).toBe("hq-mo-7");
  });

  it("works off orders one after the other, at most one change of a register in a tick", () => {
    const pace = { strokesPerPiece: 2, piecesPerOrder: 3, scrapEvery: 3 };
    let machine = order(order(newMachine(), "a"), "b");
    machine = tick(machine, pace);
    expect(machine.registers).toMatchObject({ CurrentOrder: "a", State: 1 });
    machine = tick(machine, pace);
    expect(machine.registers).toMatchObject({ CurrentOrder: "b", State: 1 });
    for (let strokes = 0; strokes < 6; strokes++) machine = tick(machine, pace);
    expect(machine.registers).toMatchObject({ Strokes: 6, GoodCount: 2, ScrapCount: 1, State: 0 });
    expect(tick(machine, pace).registers).toMatchObject({ Strokes: 6, State: 0 });
  });
});
