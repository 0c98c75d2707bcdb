import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { toText } from "../../../packaging/cli/output.ts";

const rows = [
  { name: "anna", roles: ["viewer", "engineer"], disabled: false, lockedUntil: null, tokens: 3 },
  { name: "bo", roles: ["approver"], disabled: true, lockedUntil: "2026-11-27T07:11:21.606Z", tokens: 12 },
];

describe("what a command prints", () => {
  it("is the same rows as table, JSON and YAML", () => {
    expect(toText(rows, "table", ["name", "roles", "lockedUntil", "tokens"])).toBe(
      [
        "name  roles            lockedUntil               tokens",
        "anna  viewer,engineer  -                              3",
        "bo    approver         2026-11-27T07:11:21.606Z      12",
      ].join("\n"),
    );
    expect(JSON.parse(toText(rows, "json"))).toEqual(rows);
    expect(parse(toText(rows, "yaml"))).toEqual(rows);
  });

  it("says that there is nothing, and of one object a line per key", () => {
    expect(toText([], "table")).toBe("none");
    expect(toText({ name: "anna", roles: ["viewer"] }, "table")).toBe("name   anna\nroles  viewer");
  });

  it("lets nobody's text move the cursor", () => {
    expect(toText([{ purpose: "x\u001b[2J\r\nroot  admin" }], "table")).toBe("purpose\nx [2J root  admin");
  });
});
