import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { CompactSign } from "jose";
import { expect, it } from "vitest";
import { Agent } from "../../../gateway/agent/agent.ts";
import { AgentDocuments, type AgentState } from "../../../gateway/agent/documents.ts";
import type { Session } from "../../../gateway/link/session.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type Bundle, PlantgateError, systemClock } from "../../../protocol/index.ts";
import { plantDocuments } from "../../support/documents.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { bundleOf } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";

const keys = generateKeyPairSync("ed25519");
const log = openLogger({ level: "silent", site: "lyon" });

async function signed(revision: number): Promise<string> {
  const bundle = await bundleOf(plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" }), "lyon", revision);
  return new CompactSign(Buffer.from(JSON.stringify(bundle))).setProtectedHeader({ alg: "EdDSA" }).sign(keys.privateKey);
}

/** An agent whose gateway can apply only some revisions, at a central that has them all. */
async function openAgent(folder: string, applies: (revision: number) => boolean) {
  const documents = await AgentDocuments.open(join(folder, "agent.db"));
  const applied: number[] = [];
  const session = {
    online: async () => ({ kind: "online", session: "1", watermarks: [] }),
    send: async (_session: string, { path }: { path: string }) => ({
      kind: "ok",
      body: { jws: await signed(Number(path.split("/").at(-1))) },
    }),
  } as unknown as Session;
  const apply = async ({ revision }: Bundle): Promise<void> => {
    if (!applies(revision)) throw new PlantgateError("CONFIG_INVALID", `revision ${revision} is not understood`);
    applied.push(revision);
  };
  const instead: number[] = [];
  const restore = async (stored: Bundle, isInstead: boolean): Promise<void> => {
    await apply(stored);
    if (isInstead) instead.push(stored.revision);
  };
  const state = (await documents.state()) as AgentState;
  const deps = { site: "lyon", centralKey: keys.publicKey, documents, session, clock: systemClock, log, apply, restore };
  const agent = new Agent(deps, state);
  return { agent, applied, instead };
}

/** Runs an agent until it has dealt with these revisions, one after the other. */
async function given(folder: string, revisions: readonly number[], applies: (revision: number) => boolean): Promise<void> {
  const { agent } = await openAgent(folder, applies);
  const stopping = new AbortController();
  const running = agent.run(stopping.signal);
  for (const revision of revisions) {
    agent.want(revision);
    await agent.settled(stopping.signal);
  }
  stopping.abort();
  await running;
}

it("goes on with the configuration in effect and says why another one was refused", async () => {
  using folder = temporaryFolder();
  const { agent, applied } = await openAgent(folder.path, (revision) => revision !== 2);
  const stopping = new AbortController();
  const running = agent.run(stopping.signal);
  for (const revision of [1, 2]) {
    agent.want(revision);
    await agent.settled(stopping.signal);
  }
  stopping.abort();
  await running;
  expect(applied).toEqual([1]);
  expect(agent.report).toEqual({ reported: 1, state: "refused", reason: "revision 2 is not understood" });
});

it("starts with the configuration before the last one when that one cannot be applied any more, and says so", async () => {
  using folder = temporaryFolder();
  // the third one was refused, and is no configuration to go back to
  await given(folder.path, [1, 2, 3], (revision) => revision !== 3);
  const { agent, applied, instead } = await openAgent(folder.path, (revision) => revision !== 2);
  await agent.resume();
  expect([applied, instead]).toEqual([[1], [1]]);
  expect(agent.report).toEqual({
    reported: 1,
    state: "refused",
    reason: expect.stringContaining("revision 2 is not understood"),
  });
  // central's wanted revision is fetched again, whichever it is
  expect(agent.desired).toBe(0);
});

it("takes the configuration that central still wants when it can be applied again", async () => {
  using folder = temporaryFolder();
  await given(folder.path, [1, 2], () => true);
  let understood = false;
  const { agent, applied } = await openAgent(folder.path, (revision) => revision === 1 || understood);
  await agent.resume();
  understood = true;
  const stopping = new AbortController();
  const running = agent.run(stopping.signal);
  agent.want(2);
  await until(
    () => agent.report,
    ({ state }) => state === "active",
  );
  stopping.abort();
  await running;
  expect([applied, agent.report.reported]).toEqual([[1, 2], 2]);
});

it("says that nothing runs when no stored configuration can be applied", async () => {
  using folder = temporaryFolder();
  await given(folder.path, [1, 2], () => true);
  const { agent, applied } = await openAgent(folder.path, () => false);
  await agent.resume();
  expect([applied, agent.report.reported, agent.report.state]).toEqual([[], 0, "refused"]);
});
