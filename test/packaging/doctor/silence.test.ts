import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Facts, gatewayChecks } from "../../../gateway/doctor/doctor.ts";
import { markPath } from "../../../gateway/queue/file.ts";
import { queueFile } from "../../../gateway/queue/read.ts";
import { version } from "../../../gateway/version.ts";
import { checkFlush } from "../../../packaging/doctor/flush.ts";
import { runChecks, systemClock, unchecked } from "../../../protocol/index.ts";
import { settableClock } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { loopDisk } from "./plant/disk.ts";

/** Of a folder that nobody holds. */
function factsOf(dataDir: string): Facts {
  return new Facts({
    clock: systemClock,
    dataDir,
    holder: undefined,
    ntp: async () => undefined,
    whyNotListen: async () => undefined,
    said: undefined,
    isService: false,
    machineSecrets: new Map<string, "filled" | "empty">(),
    listeners: undefined,
    nameServers: async () => undefined,
    authorities: undefined,
  });
}

/** What is asked of central by a gateway that is enrolled at this address, and has no key yet. */
async function askCentral(dataDir: string, centralUrl: string) {
  writeFileSync(join(dataDir, "gateway.json"), JSON.stringify({ site: "lyon", centralUrl }), { mode: 0o600 });
  const facts = factsOf(dataDir);
  return runChecks(
    gatewayChecks(facts).filter(({ name }) => name === "central"),
    systemClock,
  );
}

describe("a central", () => {
  it.each([
    ["that accepts and says nothing", "", /it accepts, and is silent/],
    ["behind a balancer that says that it is away", "HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n", /HTTP 503 to GET/],
  ])("%s is a fault, and is looked for there", async (_, answer, seen) => {
    using folder = temporaryFolder();
    const server = createServer((socket) => socket.on("error", () => {}).once("data", () => socket.write(answer)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const findings = await askCentral(folder.path, url);
    server.close();
    expect(findings).toMatchObject([{ level: "fault", check: "central", seen: expect.stringMatching(seen) }]);
    expect(findings[0]?.advice).toMatch(/^Central hangs or is down behind/);
  });
});

it.each([
  ["of an older version", "0.0.9", ["warning: central is of version 0.0.9"]],
  ["of a later patch", `${version.split(".").slice(0, 2).join(".")}.999999`, []],
  ["of a version that nobody can compare", "today", []],
])("a central %s is named where its gateways may be ahead of it", async (_, central, named) => {
  using folder = temporaryFolder();
  const server = createHttpServer((_request, response) =>
    response.end(JSON.stringify({ status: "up", version: central, incarnation: "one" })),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const findings = await askCentral(folder.path, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  server.close();
  const said = findings.filter(({ level }) => level === "fault" || level === "warning");
  expect(said.map(({ level, seen }) => `${level}: ${seen.split(",")[0]}`)).toEqual(named);
});

it("looks into a queue, however long that takes, only once the process has answered", async () => {
  using folder = temporaryFolder();
  const file = queueFile(folder.path);
  const server = createHttpServer((_request, response) => {
    writeFileSync(markPath(file), "");
    response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeFileSync(join(folder.path, "local.json"), JSON.stringify({ url, token: "t" }));
  const look = await factsOf(folder.path).queue();
  server.close();
  expect(look).toMatchObject({ known: false, code: "lost" });
});

describe("a disk", () => {
  /** One whose flush takes so long, by the clock. */
  const slow = (clock: ReturnType<typeof settableClock>, flushMs: number): typeof open =>
    (async (...args: Parameters<typeof open>) => {
      const handle = await open(...args);
      const sync = async (): Promise<void> => {
        if (Number.isFinite(flushMs)) clock.pass(flushMs);
        else await new Promise<void>(() => clock.pass(10_000));
      };
      return Object.assign(handle, { sync });
    }) as typeof open;

  it.each(["ENOSPC", "EDQUOT"])("that takes nothing more (%s), though it counts room as free, is a fault", async (code) => {
    using folder = temporaryFolder();
    const refusing = (async (...args: Parameters<typeof open>) => {
      const write = (): Promise<never> => Promise.reject(Object.assign(new Error(`${code}: write`), { code }));
      return Object.assign(await open(...args), { write });
    }) as typeof open;
    const findings = await checkFlush({ dataDir: folder.path, clock: settableClock() }, refusing);
    const advice = expect.stringMatching(/quota.*btrfs/);
    expect(findings).toContainEqual({ level: "fault", seen: expect.stringContaining(`that there is room: ${code}`), advice });
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it.skipIf(process.getuid?.() !== 0)("that is full is no second finding", async () => {
    using folder = temporaryFolder();
    using disk = loopDisk(folder.path, 16);
    disk.fill(0);
    expect(await checkFlush({ dataDir: disk.path, clock: settableClock() })).toEqual([
      unchecked("the disk has no room for a probe"),
    ]);
  });

  it.each([
    ["that takes 3 s to flush", 3000, /^a flush of 4 KiB takes (29|3\d)\d{2} ms/],
    ["that does not come back", Number.POSITIVE_INFINITY, /^a flush of 4 KiB takes longer than 1\d s/],
  ])("%s is a fault, and keeps no file of the doctor", async (_, flushMs, seen) => {
    using folder = temporaryFolder();
    const clock = settableClock();
    const before = clock.monotonic();
    const findings = await checkFlush({ dataDir: folder.path, clock }, slow(clock, flushMs));
    expect(findings.filter(({ level }) => level === "fault")).toMatchObject([{ seen: expect.stringMatching(seen) }]);
    expect(clock.monotonic() - before).toBeLessThan(16_000);
    expect(readdirSync(folder.path)).toEqual([]);
  });
});

it("says what it means that a check does not end, where that says something", async () => {
  const clock = settableClock();
  const check = { name: "central", about: "", limitMs: 24_000, run: () => new Promise<never>(() => clock.pass(24_000)) };
  expect(await runChecks([check], clock)).toMatchObject([{ ...unchecked("it did not end within 24 s"), isUnfinished: true }]);
  const late = { level: "fault", seen: "central hangs" } as const;
  expect(await runChecks([{ ...check, late }], clock)).toEqual([{ check: "central", ...late, isUnfinished: true }]);
});
