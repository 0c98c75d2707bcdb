import { generateKeyPairSync } from "node:crypto";
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
import { clockOfWaits, openAgent } from "../../support/agent.ts";
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

async function openedOn(folder: string, documents?: DocumentsOptions) {
  const opened = await openAgent({ file: join(folder, "agent.db"), clock: clockOfWaits(), ...(documents ? { documents } : {}) });
  await opened.start();
  return { ...opened, [Symbol.asyncDispose]: () => opened.stop() };
}
