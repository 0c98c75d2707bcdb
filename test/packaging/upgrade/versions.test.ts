import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { debianVersion } from "../../../packaging/package/deb.ts";
import { compareVersions } from "../../../protocol/release.ts";

/** The older one first. */
const order = [
  ...["0.9.0", "0.10.0-alpha", "0.10.0-rc.1", "0.10.0-rc.2", "0.10.0-rc.10"],
  ...["0.10.0", "0.10.0+1", "0.10.0+1a", "0.10.0+2", "0.10.0+10", "0.10.0+b9", "0.10.0+b10", "0.10.1", "1.0.0"],
];
const pairs = [
  ...order.flatMap((one, index) => order.slice(index + 1).map((other) => [one, other] as const)),
  ["0.10.0-rc9", "0.10.0-rc10"] as const,
];

it("is by numbers, what comes before a release before it, and what stands behind a plus at the end", () => {
  for (const [one, other] of pairs) {
    expect(compareVersions(one, other), `${one} < ${other}`).toBeLessThan(0);
    expect(compareVersions(other, one), `${other} > ${one}`).toBeGreaterThan(0);
    expect(compareVersions(debianVersion(one), other), `${one} < ${other}, as Debian writes it`).toBeLessThan(0);
  }
  for (const each of order) expect(compareVersions(each, each)).toBe(0);
});

it("is dpkg's, so that it never calls older what apt brings as newer", () => {
  for (const [one, other] of pairs) {
    const args = ["--compare-versions", debianVersion(one), "lt", debianVersion(other)];
    expect(spawnSync("dpkg", args).status, args.join(" ")).toBe(0);
  }
});
