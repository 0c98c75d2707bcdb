import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Agent } from "../../../gateway/agent/agent.ts";
import { AgentDocuments } from "../../../gateway/agent/documents.ts";
import { CentralKeys } from "../../../gateway/identity/central-keys.ts";
import type { Session } from "../../../gateway/link/session.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { temporaryFolder } from "../../support/folder.ts";

it("has messages wait half a minute for a revision, all of them together, and anew for the next", async () => {
  using folder = temporaryFolder();
  let at = 0;
  const clock = {
    now: () => 0,
    monotonic: () => at,
    sleep: async (ms: number): Promise<void> => {
      at += ms;
    },
  };
  const agent = new Agent(
    {
      ...{ site: "lyon", version: "0.1.0", vitals: () => ({ connectors: [], tallies: [] }) },
      centralKeys: CentralKeys.open({ dataDir: folder.path, handedOver: generateKeyPairSync("ed25519").publicKey }),
      documents: await AgentDocuments.open(join(folder.path, "agent.db")),
      session: {} as Session,
      clock,
      log: openLogger({ level: "silent", site: "lyon" }),
      apply: async () => {},
      restore: async () => {},
    },
    { desired: { revision: 1 } },
  );
  const { signal } = new AbortController();
  const waited = async (messages: number): Promise<number> => {
    const from = at;
    for (let message = 0; message < messages; message++) await agent.settled(signal);
    return at - from;
  };
  expect(await waited(1)).toBe(0);
  agent.want({ revision: 2 });
  expect(await waited(100)).toBe(30_000);
  agent.want({ revision: 3 });
  expect(await waited(100)).toBe(30_000);
});
