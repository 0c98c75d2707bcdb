import { describe, expect, it } from "vitest";
import { flowFunctions } from "../../../protocol/index.ts";

const codes = { "odoo.warehouse": { LYO: "lyon" }, "wms.units": { pcs: "EA", kilo: "KGM", bag: "XBG" } };
const call = (name: string, ...args: unknown[]): unknown =>
  flowFunctions(codes)
    .find((each) => each.name === name)!
    .apply(...args);

describe("$quantity", () => {
  it("keeps the decimal as the sender wrote it", () => {
    expect(call("quantity", "12.50", "KGM")).toEqual({ value: "12.50", unitCode: "KGM", scale: 2 });
    expect(call("quantity", 0.1, "KGM")).toEqual({ value: "0.1", unitCode: "KGM", scale: 1 });
  });

  it("makes one piece of H87 and EA, and says what it was", () => {
    expect(call("quantity", "4", "H87")).toEqual({ value: "4", unitCode: "C62", scale: 0, srcValue: "4", srcUnit: "H87" });
    expect(call("quantity", "4", "EA")).toMatchObject({ unitCode: "C62" });
  });

  it("translates a sender's unit names by a table", () => {
    expect(call("quantity", "4", "pcs", "wms.units")).toMatchObject({ unitCode: "C62", srcUnit: "pcs" });
    expect(call("quantity", "4", "kilo", "wms.units")).toMatchObject({ unitCode: "KGM" });
  });

  it("refuses a unit that nobody knows, a missing one, and what is no number", () => {
    expect(() => call("quantity", "4", "bag", "wms.units")).toThrow(expect.objectContaining({ code: "UNIT_UNKNOWN" }));
    expect(() => call("quantity", "4", undefined)).toThrow(expect.objectContaining({ code: "UNIT_UNKNOWN" }));
    expect(() => call("quantity", "4", "constructor")).toThrow(expect.objectContaining({ code: "UNIT_UNKNOWN" }));
    expect(() => call("quantity", "four", "KGM")).toThrow(expect.objectContaining({ code: "INPUT_INVALID" }));
    expect(() => call("quantity", "4", "KGM", "no.table")).toThrow(expect.objectContaining({ code: "MAPPING_FAILED" }));
  });
});

describe("$instant", () => {
  it.each([
    ["2026-11-26T08:15:30.250Z", undefined, "2026-11-26T08:15:30.250Z"],
    ["2026-11-26T08:15:30+01:00", undefined, "2026-11-26T07:15:30.000Z"],
    ["2026-11-26T08:15:30.1234567Z", "Europe/Paris", "2026-11-26T08:15:30.123Z"],
    ["2026-11-26 08:15:30", "Europe/Paris", "2026-11-26T07:15:30.000Z"],
    ["2026-07-26T08:15", "Europe/Paris", "2026-07-26T06:15:00.000Z"],
    ["2026-11-26", "America/New_York", "2026-11-26T05:00:00.000Z"],
  ])("reads %s in zone %s as %s", (text, zone, instant) => {
    expect(call("instant", text, zone)).toBe(instant);
  });

  it("takes the earlier of two instants when the clock is set back", () => {
    expect(call("instant", "2026-10-25T02:30:00", "Europe/Paris")).toBe("2026-10-25T00:30:00.000Z");
  });

  it("moves a time that the clock skips forward by the gap", () => {
    expect(call("instant", "2026-03-29T02:30:00", "Europe/Paris")).toBe("2026-03-29T01:30:00.000Z");
  });

  it.each([
    ["2026-11-26T08:15:30", undefined],
    ["2026-11-26T08:15:30", "Mars/Olympus"],
    ["2026-02-30T08:15:30", "Europe/Paris"],
    ["yesterday", "Europe/Paris"],
    [1_700_000_000, "Europe/Paris"],
    [undefined, undefined],
  ])("refuses %s in zone %s instead of guessing", (text, zone) => {
    expect(() => call("instant", text, zone)).toThrow(expect.objectContaining({ code: "INPUT_INVALID" }));
  });
});

describe("$site", () => {
  it("says what the table says, and nothing for another code", () => {
    expect(call("site", "odoo.warehouse", "LYO")).toBe("lyon");
    expect(call("site", "odoo.warehouse", "XXX")).toBeUndefined();
    expect(call("site", "odoo.warehouse", "toString")).toBeUndefined();
  });

  it("refuses a table that is not there", () => {
    expect(() => call("site", "odoo.warehouses", "LYO")).toThrow(expect.objectContaining({ code: "MAPPING_FAILED" }));
  });
});
