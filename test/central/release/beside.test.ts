import { expect, it } from "vitest";
import { beside } from "../../../central/release/beside.ts";

it("a gateway stands beside central by its minor version, or is older than any that central was made for", () => {
  for (const [gateway, central, expected] of [
    ["0.2.0", "0.2.0", "same"],
    ["0.2.7", "0.2.0", "same"],
    ["0.2.0-rc.1", "0.2.0", "same"],
    ["0.1.9", "0.2.0", "older"],
    ["0.10.0", "0.9.4", "newer"],
    ["1.0.0", "0.9.4", "newer"],
    ["0.0.9", "0.2.0", "too-old"],
    ["0.1.0-rc.1", null, "too-old"],
    ["0.2.0", null, null],
    ["test", "0.2.0", null],
    [null, "0.2.0", null],
  ] as const)
    expect([gateway, central, beside(gateway, central)]).toEqual([gateway, central, expected]);
});
