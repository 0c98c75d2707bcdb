import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { CentralFacts, centralChecks } from "../../../central/doctor/doctor.ts";
import { listListeners } from "../../../packaging/doctor/listeners.ts";
import { known, type Listener, listenerAt, runChecks, systemClock } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";

describe.skipIf(process.platform !== "linux")("who listens on a port", () => {
  it("is told with the address at which that is", async () => {
    await using both = new AsyncDisposableStack();
    const listen = async (host: string, port: number): Promise<number> => {
      const server = createServer().listen({ host, port });
      await once(server, "listening");
      both.defer(() => void server.close());
      return (server.address() as AddressInfo).port;
    };
    const port = await listen("127.0.0.1", 0);
    for (const host of ["127.0.0.2", "::1"]) await listen(host, port);
    const found = listListeners()?.get(port) ?? [];
    expect(found.map(({ address }) => address).toSorted()).toEqual(["127.0.0.1", "127.0.0.2", "::1"]);
    expect(new Set(found.map(({ pid }) => pid))).toEqual(new Set([process.pid]));
  });
});

describe("a port on which two listen", () => {
  const front: Listener = { address: "10.1.2.3", pid: 7, command: "nginx" };
  const own: Listener = { address: "127.0.0.1", pid: 8, command: "plantgate" };
  const listeners = (...all: Listener[]) => new Map([[8420, all]]);
  const port = 8420;

  it.each([
    ["the front first", [front, own]],
    ["the front last", [own, front]],
  ])("is its own process's, %s", (_, all) => {
    for (const host of ["127.0.0.1", "localhost", "0.0.0.0", "plant.example"])
      expect(listenerAt(listeners(...all), { host, port, own: 8 })).toBe(own);
  });

  it("is free for whoever is to listen at another address", () => {
    for (const host of ["127.0.0.1", "localhost", "::1", "10.1.2.4"])
      expect(listenerAt(listeners(front), { host, port, own: undefined })).toBeUndefined();
  });

  it("is taken at that address, at all of them, and for whoever wants all of them", () => {
    for (const host of ["10.1.2.3", "0.0.0.0", "::", "plant.example"])
      expect(listenerAt(listeners(front), { host, port, own: 8 })).toBe(front);
    for (const address of ["0.0.0.0", "::"])
      expect(listenerAt(listeners({ ...front, address }), { host: "127.0.0.1", port, own: undefined })?.pid).toBe(7);
  });
});

it.skipIf(process.platform !== "linux" || process.getuid?.() !== 0).each(["before", "after"])(
  "beside a central that listens on its port, another process that does so elsewhere (%s it) is no fault",
  async (when) => {
    using folder = temporaryFolder();
    await using began = new AsyncDisposableStack();
    const central = createServer();
    began.defer(() => void central.close());
    const listen = async (port: number): Promise<void> => {
      central.listen({ host: "127.0.0.1", port });
      await once(central, "listening");
    };
    const front = async (port: number): Promise<number> => {
      const code = `const s = require("net").createServer().listen(${port}, "127.0.0.2", () => console.log(s.address().port))`;
      const child: ChildProcess = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
      began.defer(() => void child.kill());
      const [line] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
      return Number(line.toString());
    };
    if (when === "before") await listen(await front(0));
    else await listen(0);
    const { port } = central.address() as AddressInfo;
    if (when === "after") await front(port);
    const facts = new CentralFacts({
      ...{ dataDir: folder.path, holder: { pid: process.pid }, said: known({ port }), isService: false, consoleDir: undefined },
      ...{ listeners: listListeners(), whyNotListen: async () => undefined, clock: systemClock, ntp: async () => undefined },
    });
    facts.running = async () => "silent";
    const checks = centralChecks(facts).filter(({ name }) => name === "ports");
    expect(await runChecks(checks, systemClock)).toMatchObject([{ level: "ok", seen: `port ${port} is its own` }]);
  },
);
