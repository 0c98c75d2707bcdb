import { must, run } from "./programs.ts";

/** A machine's own network: itself, and one cable to whoever is at its other end. */
export interface MachineNetwork {
  readonly name: string;
  /** Of the cable's other end: central's, for a plant. */
  readonly outside: string;
  /** The machine's own. */
  readonly inside: string;
  /** Pulls the cable out. */
  cut(): Promise<void>;
  join(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Its name carries the process that made it, so that what a killed run left can be told. */
export const networkPrefix = "pgpkg";

let made = 0;

/** @param beside the network that the cable's other end is in; undefined: this machine's */
export async function openNetwork(beside?: MachineNetwork): Promise<MachineNetwork> {
  const number = made++;
  const name = `${networkPrefix}${process.pid}x${number}`;
  const other = `pg${process.pid}x${number}`;
  const there = beside ? ["-n", beside.name] : [];
  // 198.18.0.0/15 is for tests of network equipment (RFC 2544): no plant and no provider uses it
  const block = (process.pid * 4 + number) % 32_768;
  const address = (host: number): string => `198.${18 + (block >> 14)}.${(block >> 6) & 255}.${(block & 63) * 4 + host}`;
  const [outside, inside] = [address(1), address(2)];
  const network: MachineNetwork = {
    name,
    outside,
    inside,
    cut: async () => void (await must(["ip", ...there, "link", "set", other, "down"])),
    join: async () => void (await must(["ip", ...there, "link", "set", other, "up"])),
    async [Symbol.asyncDispose]() {
      await run(["ip", ...there, "link", "del", other]);
      await run(["ip", "netns", "del", name]);
    },
  };
  try {
    await must(["ip", "netns", "add", name]);
    await must(["ip", ...there, "link", "add", other, "type", "veth", "peer", "name", "eth0", "netns", name]);
    await must(["ip", ...there, "addr", "add", `${outside}/30`, "dev", other]);
    await must(["ip", "-n", name, "addr", "add", `${inside}/30`, "dev", "eth0"]);
    for (const device of ["lo", "eth0"]) await must(["ip", "-n", name, "link", "set", device, "up"]);
    await network.join();
  } catch (error) {
    await network[Symbol.asyncDispose]();
    throw error;
  }
  return network;
}
