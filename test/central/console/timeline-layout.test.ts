import { describe, expect, it } from "vitest";
import { layoutTimeline } from "../../../central/console/orders/timeline-layout.ts";
import { hops, message, releasedMessage, reportMessage } from "./fixtures.ts";

const start = Date.UTC(2026, 10, 24, 2, 0, 0);

describe("the timeline of an order", () => {
  it("puts other sites left of central and the plant right of it, systems outside and gateways inside", () => {
    const { columns, groups } = layoutTimeline([reportMessage(1, start), releasedMessage(start + 60_000)], "lyon", "steps");
    expect(columns.map((column) => column.key)).toEqual([
      "hq/erp",
      "hq/gateway",
      "central",
      "lyon/gateway",
      "lyon/terminal",
      "lyon/wms",
      "lyon/scheduler",
      "lyon/press",
    ]);
    expect(groups).toEqual([
      { site: "hq", count: 2 },
      { site: "central", count: 1 },
      { site: "lyon", count: 5 },
    ]);
  });

  it("shows one order of time over all messages, so that an outage reads as it was", () => {
    const late = reportMessage(0, start, 600_000);
    const quick = reportMessage(1, start + 5_000);
    const { rows } = layoutTimeline([late, quick], "lyon", "messages");
    expect(rows.map((row) => [row.message.id, row.hops.length, row.opens])).toEqual([
      ["m-0", 2, true],
      ["m-1", 6, true],
      ["m-0", 4, false],
    ]);
    expect(rows[2]?.pauseMs).toBeGreaterThan(500_000);
  });

  it("gives each of several messages made at once one line, though their hops alternate", () => {
    const lines = [reportMessage(0, start), reportMessage(1, start), reportMessage(2, start + 1)];
    const { rows } = layoutTimeline(lines, "lyon", "messages");
    expect(rows.map((row) => [row.message.id, row.hops.length])).toEqual([
      ["m-0", 6],
      ["m-1", 6],
      ["m-2", 6],
    ]);
    expect(layoutTimeline(lines, "lyon", "steps").rows).toHaveLength(18);
  });

  it("never puts hops with a wait between them into one line, though nothing else came between", () => {
    const { rows } = layoutTimeline([reportMessage(0, start, 30_000)], "lyon", "messages");
    expect(rows.map((row) => row.hops.length)).toEqual([2, 4]);
  });

  it("lets deliveries branch off at the gateway, and an acceptance follow its delivery", () => {
    const released = releasedMessage(start);
    const { rows } = layoutTimeline([released], "lyon", "steps");
    const origins = new Map(rows.map((row) => [row.hops[0]?.hop.what, row.hops[0]?.origin]));
    const received = released.hops.findIndex((hop) => hop.kind === "received");
    expect(origins.get("Sent to the WMS")).toBe(received);
    expect(origins.get("Press PRESS-7 took the order")).toBe(received);
    expect(origins.get("WMS accepted the order")).toBe(received + 1);
    expect(origins.get("Released by the ERP, revision 1")).toBeNull();
  });

  it("keeps a message's hops in their order where clocks disagree, and says so with a negative time", () => {
    const skewed = message(
      "skewed",
      "mfg.pick.confirmed.v1",
      "lyon",
      "Picked",
      hops(start, [
        [0, "lyon", "wms", "happened", "Picked"],
        [-3_000, "lyon", "gateway", "recorded", "Recorded"],
        [10, "central", "central", "central", "At central"],
      ]),
    );
    const { rows } = layoutTimeline([skewed], "lyon", "steps");
    expect(rows.map((row) => row.hops[0]?.hop.kind)).toEqual(["happened", "recorded", "central"]);
    expect(rows[1]?.hops[0]?.deltaMs).toBe(-3_000);
  });

  it("sets hops of one line in one swimlane side by side", () => {
    const { rows } = layoutTimeline([releasedMessage(start)], "lyon", "messages");
    expect(rows).toHaveLength(1);
    const central = rows[0]?.hops.filter((placed) => placed.hop.site === "central");
    expect(central?.map((placed) => [placed.slot, placed.slots])).toEqual([
      [0, 2],
      [1, 2],
    ]);
  });
});
