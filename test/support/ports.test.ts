import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { portsBeside } from "../fault/plant/ports.ts";
import { freePort } from "./mosquitto.ts";

const kernels = "/proc/sys/net/ipv4/ip_local_port_range";

it.skipIf(process.platform !== "linux")("a port for later is none that the kernel gives to somebody else meanwhile", async () => {
  const [first = 0, last = 0] = readFileSync(kernels, "utf8").trim().split(/\s+/).map(Number);
  const ports = await Promise.all(Array.from({ length: 40 }, () => freePort()));
  expect(ports.filter((port) => port >= first && port <= last)).toEqual([]);
  expect(new Set(ports).size).toBe(ports.length);
});

it.each([
  ["a kernel's own range", 32_768, 60_999, 20_000, 32_000],
  ["one that begins low", 15_000, 60_999, 61_000, 65_535],
  ["one that begins in the middle", 25_000, 65_535, 20_000, 24_999],
  ["one that leaves room below alone", 16_000, 65_000, 10_000, 15_999],
])("ports for later stand beside %s", (_, first, last, from, to) => {
  expect(portsBeside({ first, last })).toEqual({ first: from, last: to });
});

it("where the kernel takes all ports, that is said", () => {
  expect(() => portsBeside({ first: 1024, last: 65_535 })).toThrow(/1024 to 65535 .*ip_local_port_range/);
});
