import { createHash, generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { CompactSign } from "jose";
import { expect, it } from "vitest";
import { Agent } from "../../../gateway/agent/agent.ts";
import { AgentDocuments, type AgentState } from "../../../gateway/agent/documents.ts";
import { CentralKeys } from "../../../gateway/identity/central-keys.ts";
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
  const deps = {
    site: "lyon",
    centralKeys: CentralKeys.open({ dataDir: folder, handedOver: keys.publicKey }),
    documents,
    session,
    clock: systemClock,
    log,
    apply,
    restore,
  };
  const agent = new Agent(deps, state);
  return { agent, applied, instead };
}

/** Runs an agent until it has dealt with these revisions, one after the other. */
async function given(folder: string, revisions: readonly number[], applies: (revision: number) => boolean): Promise<void> {
  const { agent } = await openAgent(folder, applies);
  const stopping = new AbortController();
  const running = agent.run(stopping.signal);
  for (const revision of revisions) {
    agent.want({ revision });
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
    agent.want({ revision });
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
  agent.want({ revision: 2 });
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

/** A central that gives the same number to another content, as one does that was restored; `content` is a template's purpose. */
async function openAtRestored(folder: string, central: { content: string }, refuses: (content: string) => boolean = () => false) {
  const documents = await AgentDocuments.open(join(folder, "agent.db"));
  const bundleNow = async (): Promise<string> => {
    const [template, ...rest] = plantDocuments({ site: "lyon", wmsUrl: `mqtt://${central.content}:1` });
    return JSON.stringify(await bundleOf([template!, ...rest], "lyon", 2));
  };
  const session = {
    online: async () => ({ kind: "online", session: "1", watermarks: [] }),
    send: async () => {
      const signer = new CompactSign(Buffer.from(await bundleNow())).setProtectedHeader({ alg: "EdDSA" });
      return { kind: "ok", body: { jws: await signer.sign(keys.privateKey) } };
    },
  } as unknown as Session;
  const applied: string[] = [];
  const apply = async ({ connectors }: Bundle): Promise<void> => {
    const { config } = connectors.wms!;
    const content = "url" in config ? new URL(config.url ?? "").hostname : "";
    if (refuses(content)) throw new PlantgateError("CONFIG_INVALID", `${content} is refused`);
    applied.push(content);
  };
  const deps = {
    site: "lyon",
    centralKeys: CentralKeys.open({ dataDir: folder, handedOver: keys.publicKey }),
    documents,
    session,
    clock: systemClock,
    log,
    apply,
    restore: apply,
  };
  const agent = new Agent(deps, (await documents.state()) as AgentState);
  await agent.resume();
  return {
    agent,
    applied,
    /** What central wants comes, and is dealt with. */
    async told(): Promise<void> {
      const stopping = new AbortController();
      const running = agent.run(stopping.signal);
      agent.want({
        revision: 2,
        digest: createHash("sha256")
          .update(await bundleNow())
          .digest("hex"),
      });
      await agent.settled(stopping.signal);
      stopping.abort();
      await running;
    },
  };
}

it("takes another content under the number of the one that runs, as a restored central gives numbers out again", async () => {
  using folder = temporaryFolder();
  const central = { content: "lost" };
  const first = await openAtRestored(folder.path, central);
  await first.told();
  await first.told();
  expect(first.applied).toEqual(["lost"]);
  // it was away meanwhile
  central.content = "again";
  const second = await openAtRestored(folder.path, central);
  await second.told();
  await second.told();
  expect(second.applied).toEqual(["lost", "again"]);
  expect(second.agent.report).toEqual({ reported: 2, state: "active" });
  expect((await openAtRestored(folder.path, central)).applied).toEqual(["again"]);
});

it("goes on with what ran, also after a restart, when another content under its number is refused", async () => {
  using folder = temporaryFolder();
  const central = { content: "lost" };
  await (await openAtRestored(folder.path, central)).told();
  central.content = "again";
  const refuses = (content: string): boolean => content === "again";
  const second = await openAtRestored(folder.path, central, refuses);
  await second.told();
  expect(second.agent.report).toEqual({ reported: 2, state: "refused", reason: "again is refused" });
  const third = await openAtRestored(folder.path, central, refuses);
  expect([third.applied, third.agent.report.state]).toEqual([["lost"], "active"]);
});
