import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Agent } from "../../../gateway/agent/agent.ts";
import { type AgentDisk, machineDisk } from "../../../gateway/agent/disk.ts";
import { AgentDocuments, type DocumentsOptions } from "../../../gateway/agent/documents.ts";
import { CentralKeys } from "../../../gateway/identity/central-keys.ts";
import type { Session } from "../../../gateway/link/session.ts";
import type { LinkAnswer } from "../../../gateway/link/transport.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { PlantgateError, systemClock, toProblem } from "../../../protocol/index.ts";
import { CentralOfBundles, clockOfWaits, openAgent } from "../../support/agent.ts";
import { temporaryFolder } from "../../support/folder.ts";

/** How long an agent waited after each of the first `tries` answers to its fetching of a bundle. */
async function waits(tries: number, answer: (attempt: number) => LinkAnswer): Promise<readonly number[]> {
  using folder = temporaryFolder();
  const slept: number[] = [];
  const stopping = new AbortController();
  const sleep = async (ms: number): Promise<void> => {
    slept.push(ms);
    if (slept.length === tries) stopping.abort();
  };
  let attempts = 0;
  const session = {
    online: async () => ({ kind: "online", session: "s1", watermarks: [] }),
    send: async () => answer(++attempts),
  } as unknown as Session;
  const agent = new Agent(
    {
      ...{
        site: "lyon",
        version: "0.1.0",
        vitals: () => ({ connectors: [], tallies: [] }),
        centralKeys: CentralKeys.open({ dataDir: folder.path, handedOver: generateKeyPairSync("ed25519").publicKey }),
        session,
      },
      documents: await AgentDocuments.open(join(folder.path, "agent.db")),
      clock: { ...systemClock, sleep },
      log: openLogger({ level: "silent", site: "lyon" }),
      apply: async () => {},
      restore: async () => {},
    },
    { desired: { revision: 1 } },
  );
  agent.want({ revision: 2 });
  await agent.run(stopping.signal);
  return slept;
}

it("asks for a bundle again after as long as central asks for", async () => {
  const limited: LinkAnswer = { kind: "problem", problem: toProblem("limited"), retryAfterMs: 42_000 };
  expect(await waits(2, () => limited)).toEqual([42_000, 42_000]);
});

it("asks ever more rarely for a bundle that cannot be fetched", async () => {
  const slept = await waits(60, () => {
    throw new PlantgateError("PEER_UNREACHABLE", "cut off");
  });
  expect(slept[0]).toBe(1000);
  expect(Math.max(...slept)).toBeGreaterThan(5000);
  expect(Math.max(...slept)).toBeLessThanOrEqual(15_000);
  expect(new Set(slept).size).toBeGreaterThan(10);
});

it("P5: refuses nothing for that central denies the gateway, and takes it once it is let in again", async () => {
  using folder = temporaryFolder();
  await using opened = await openedOn(folder.path);
  const { agent, plant, central } = opened;
  const one = await central.has(1, "one");
  for (const code of ["LINK_DENIED", "LINK_FENCED"] as const) {
    central.answer = () => {
      throw new PlantgateError(code, `central says ${code}`);
    };
    agent.want(one);
    await opened.sees(({ reason }) => reason?.includes(`is not here yet: central says ${code}`) === true);
    expect(agent.report.refused).toBeUndefined();
  }
  central.answer = undefined;
  await opened.sees(({ state, reported }) => state === "active" && reported === 1);
  expect(plant.applied).toEqual(["1:one"]);
});

it("puts nothing into effect that central does not want any more when it is kept", async () => {
  using folder = temporaryFolder();
  let superseded = (): void => {};
  const append: AgentDisk["append"] = async (file, bytes) => {
    await machineDisk.append(file, bytes);
    if (Buffer.from(bytes).includes('"bundle/2/')) superseded();
  };
  await using opened = await openedOn(folder.path, { disk: { ...machineDisk, append } });
  const [two, three] = [await opened.central.has(2, "two"), await opened.central.has(3, "three")];
  superseded = () => opened.agent.want(three);
  opened.agent.want(two);
  await opened.sees(({ state, reported }) => state === "active" && reported === 3);
  expect(opened.plant.applied).toEqual(["3:three"]);
});

it("P8: fetches a bundle anew that is damaged on disk, and refuses nothing for that", async () => {
  using folder = temporaryFolder();
  const central = new CentralOfBundles();
  const one = await central.has(1, "one");
  {
    await using first = await openedOn(folder.path, {}, central);
    await first.dealsWith(one);
    await first.dealsWith(await central.has(2, "two"));
  }
  const file = join(folder.path, "agent.db");
  const lines = readFileSync(file, "utf8").split("\n");
  const damaged = lines.map((line) =>
    line.includes('"bundle/1/') ? line.replace(/(?<=\.[\w-]{100})./, (byte) => (byte === "A" ? "B" : "A")) : line,
  );
  expect(damaged).not.toEqual(lines);
  writeFileSync(file, damaged.join("\n"));
  {
    await using second = await openedOn(folder.path, {}, central);
    second.agent.want(one);
    await second.sees(({ reported, state }) => reported === 1 || state === "refused");
    expect(second.agent.report.refused).toBeUndefined();
    expect([second.plant.applied, central.fetched]).toEqual([
      ["2:two", "1:one"],
      [1, 2, 1],
    ]);
  }
  // and has the whole one from then on, also while central is away
  await using third = await openedOn(folder.path, {}, central);
  expect(third.plant.applied).toEqual(["1:one"]);
});

async function openedOn(folder: string, documents: DocumentsOptions = {}, central = new CentralOfBundles()) {
  const opened = await openAgent({ file: join(folder, "agent.db"), central, clock: clockOfWaits(), documents });
  await opened.start();
  return { ...opened, [Symbol.asyncDispose]: () => opened.stop() };
}
