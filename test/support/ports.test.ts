import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { freePort } from "./mosquitto.ts";

const kernels = "/proc/sys/net/ipv4/ip_local_port_range";

it.skipIf(process.platform !== "linux")("a port for later is none that the kernel gives to somebody else meanwhile", async () => {
  const [first = 0, last = 0] = readFileSync(kernels, "utf8").trim().split(/\s+/).map(Number);
  const ports = await Promise.all(Array.from({ length: 40 }, () => freePort()));
  expect(ports.filter((port) => port >= first && port <= last)).toEqual([]);
  expect(new Set(ports).size).toBe(ports.length);
});
