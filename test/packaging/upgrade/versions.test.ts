import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { debianVersion } from "../../../packaging/package/deb.ts";
import { compareVersions } from "../../../packaging/upgrade/versions.ts";
import { compareVersions as compareOnTheWire } from "../../../protocol/release.ts";

/** The older one first. */
const order = [
  ...["0.9.0", "0.10.0-alpha", "0.10.0-rc.1", "0.10.0-rc.2", "0.10.0-rc.10"],
  ...["0.10.0", "0.10.0+1", "0.10.0+2", "0.10.0+10", "0.10.1", "1.0.0"],
];
const pairs = order.flatMap((one, index) => order.slice(index + 1).map((other) => [one, other] as const));

describe.each([
  ["updater", compareVersions],
  ["gateway and central", compareOnTheWire],
])("the order of versions, for the %s", (_, compare) => {
  it("is by numbers, what comes before a release before it, and what stands behind a plus at the end", () => {
    for (const [one, other] of pairs) {
      expect(compare(one, other), `${one} < ${other}`).toBeLessThan(0);
      expect(compare(other, one), `${other} > ${one}`).toBeGreaterThan(0);
    }
    for (const each of order) expect(compare(each, each)).toBe(0);
  });
});

it("is dpkg's, so that it never calls older what apt brings as newer", () => {
  for (const [index, next] of order.slice(1).entries()) {
    const args = ["--compare-versions", debianVersion(order[index] ?? ""), "lt", debianVersion(next)];
    expect(spawnSync("dpkg", args).status, args.join(" ")).toBe(0);
  }
});
