import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Agent } from "../../../gateway/agent/agent.ts";
import { AgentDocuments } from "../../../gateway/agent/documents.ts";
import { CentralKeys } from "../../../gateway/identity/central-keys.ts";
import type { Session } from "../../../gateway/link/session.ts";
import type { LinkAnswer } from "../../../gateway/link/transport.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { PlantgateError, systemClock, toProblem } from "../../../protocol/index.ts";
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
