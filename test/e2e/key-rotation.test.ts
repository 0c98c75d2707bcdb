import { mkdirSync } from "node:fs";
import { join } from "node:path";
import mqtt from "mqtt";
import { expect, it } from "vitest";
import { CentralKeys } from "../../gateway/identity/central-keys.ts";
import { Identity } from "../../gateway/identity/identity.ts";
import { KeyRotation } from "../../gateway/identity/rotation.ts";
import { runDownlink } from "../../gateway/link/downlink.ts";
import { LaneShares } from "../../gateway/link/lane-shares.ts";
import { LinkLimits } from "../../gateway/link/link-limits.ts";
import { LinkProgress } from "../../gateway/link/progress.ts";
import { Session } from "../../gateway/link/session.ts";
import { runStatus } from "../../gateway/link/status.ts";
import { type LinkAnswer, type LinkRequest, Transport } from "../../gateway/link/transport.ts";
import { runUplink } from "../../gateway/link/uplink.ts";
import type { QueueDepth } from "../../gateway/queue/change.ts";
import { Queue } from "../../gateway/queue/queue.ts";
import { openLogger } from "../../gateway/telemetry/logger.ts";
import { chainGenesis, type Document, lanes, type SigningChain, systemClock } from "../../protocol/index.ts";
import { eventually, startTestCentral, type TestCentral } from "../support/central.ts";
import { temporaryFolder } from "../support/folder.ts";
import { TestLane } from "../support/gateway-client.ts";
import { pick } from "../support/messages.ts";
import { freePort } from "../support/mosquitto.ts";
import { openSystem } from "../support/system.ts";

const gateways = 50;
const batches = 40;
const perBatch = 5;
/** So many of them have a queue as in a plant. */
const onDisks = 3;
const clock = systemClock;

/** What became of the calls of all gateways. */
const calls = { sent: 0, again: 0, refused: 0 };
const denials = new Set(["not-signed", "token-invalid", "token-expired", "key-unknown", "site-revoked", "not-allowed"]);

class CountedTransport extends Transport {
  override async send(request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer> {
    calls.sent += 1;
    try {
      const answer = await super.send(request, signal);
      // whatever is wrong with the key: nothing that is done again helps
      if (answer.kind === "problem" && denials.has(answer.problem.code)) calls.refused += 1;
      else if (answer.kind === "problem") calls.again += 1;
      return answer;
    } catch (error) {
      if (!signal.aborted) calls.again += 1;
      throw error;
    }
  }
}

/** What a gateway's link needs of its queue; most have it in memory here, as fifty on disks would take minutes to start. */
interface Backlog {
  readonly queue: Queue;
  append(from: number): Promise<unknown>;
  acknowledged(): Promise<boolean>;
  /** Sends what is appended until the signal aborts. */
  uplink(session: Session, signal: AbortSignal): Promise<unknown>;
  close(): Promise<void>;
}
const linesFrom = (site: string, from: number) =>
  Array.from({ length: perBatch }, (_, index) => pick(site, `${site}-${from + index}`));

async function onDisk(site: string, dataDir: string): Promise<Backlog> {
  const queue = await Queue.open({ path: join(dataDir, "queue.sqlite"), site, onFailure: () => {} });
  const log = openLogger({ level: "error", site });
  const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 }, clock);
  const progress = new LinkProgress(clock, log);
  const deps = { site, queue, shares, limits: new LinkLimits(shares), progress, clock, log };
  return {
    queue,
    append: (from) =>
      queue.commit({
        messages: linesFrom(site, from).map((event) => ({ lane: "transaction" as const, line: JSON.stringify(event) })),
      }),
    acknowledged: async () => (await queue.depth()).lanes.every(({ last, acknowledged }) => last === acknowledged),
    uplink: (session, signal) => Promise.all(lanes.map((lane) => runUplink({ ...deps, session }, lane, signal))),
    close: () => queue.close(),
  };
}

function inMemory(site: string): Backlog {
  const lane = new TestLane(site, "transaction");
  let acknowledged = 0;
  const depth = async (): Promise<QueueDepth> => ({
    lanes: [
      {
        ...{ lane: "transaction", epoch: lane.epoch, predecessor: null, epochFirst: 1, dispatched: 0, oldestAt: null },
        ...{ epochChain: chainGenesis(site, "transaction", lane.epoch).toString("hex"), waitingBytes: 0, storedBytes: 0 },
        ...{ last: lane.last, acknowledged },
      },
    ],
    deliveries: { waiting: 0, unknown: 0, parked: 0, oldestAt: null },
    deadLetters: 0,
  });
  const queue = {
    depth,
    disk: async () => ({ state: "ok", freeBytes: 1e9 }),
    leftEpochs: async () => [],
    keepAcknowledged: async () => {},
    cursor: async () => undefined,
    commit: async () => {},
  } as unknown as Queue;
  return {
    queue,
    append: async (from) => lane.append(linesFrom(site, from)),
    acknowledged: async () => acknowledged === lane.last,
    async uplink(session, signal) {
      while (!signal.aborted) {
        const online = await session.online(signal);
        if (!online) return;
        if (acknowledged === lane.last) {
          await clock.sleep(50, signal);
          continue;
        }
        const batch = lane.batch(acknowledged + 1);
        const headers = {
          ...{ "content-type": "application/x-ndjson", "content-encoding": "zstd", "plantgate-session": online.session },
          ...{ "plantgate-epoch": lane.epoch, "plantgate-first-sequence": String(batch.firstSequence) },
          ...{ "plantgate-count": String(batch.count), "plantgate-chain": batch.chain, "plantgate-frames": batch.entries },
        };
        const path = `/v1/sites/${site}/lanes/transaction/batches`;
        const request = { method: "POST" as const, path, headers, body: batch.body, silenceMs: 20_000 };
        const answer = await session.send(online.session, request, signal).catch(() => undefined);
        if (answer?.kind === "ok") acknowledged = (answer.body as { watermark: number }).watermark;
        else await clock.sleep(answer?.retryAfterMs ?? 200, signal);
      }
    },
    close: async () => {},
  };
}

/** A gateway's keys and link as they are in a plant, without connectors. */
async function startLight(site: string, folder: string, central: TestCentral, chain: SigningChain, isOnDisk: boolean) {
  const dataDir = join(folder, site);
  mkdirSync(dataDir, { recursive: true });
  const identity = Identity.open(dataDir);
  await central.admin("POST", "/v1/sites", { name: site, publicKey: identity.publicPem });
  const log = openLogger({ level: "error", site });
  const backlog = isOnDisk ? await onDisk(site, dataDir) : inMemory(site);
  const { queue } = backlog;
  const stopping = new AbortController();
  const { signal } = stopping;
  const transport = new CountedTransport({ site, centralUrl: central.url, keys: identity, clock });
  const session = new Session({ site, version: "0", transport, queue, clock, log, onFenced: async () => {} }, undefined);
  const fetchChain = async (): Promise<unknown> => {
    const answer = await transport.send({ method: "GET", path: "/v1/signing-keys", silenceMs: 15_000 }, signal);
    return answer.kind === "ok" ? answer.body : undefined;
  };
  (await CentralKeys.judge(dataDir, chain)).save();
  const centralKeys = CentralKeys.open({ dataDir, fetchChain });
  const rotation = new KeyRotation({ site, identity, centralKeys, session, clock, log });
  const progress = new LinkProgress(clock, log);
  const nothing = { onDesired: () => {}, onAsks: () => {}, knownRevision: () => 0, knownSecrets: () => "" };
  const loops = [
    session.run(signal),
    rotation.run(signal),
    backlog.uplink(session, signal),
    runDownlink({ site, queue, session, progress, clock, log, ...nothing }, signal),
    runStatus(
      {
        ...{ site, version: "0", startedAt: clock.now(), queue, session, clock, log, progress },
        connectors: () => [],
        configuration: () => ({ reported: 0, state: "none" }),
        repeats: () => 0,
        ofUnknownAge: () => 0,
        expired: () => 0,
        onKeys: (notice) => rotation.noticed(notice),
      },
      signal,
    ),
  ];
  const fingerprints = [identity.fingerprint];
  return {
    site,
    rotation,
    centralKeys,
    session,
    append: backlog.append,
    acknowledged: backlog.acknowledged,
    /** Keys that it signed with, one after the other. */
    seen(): readonly string[] {
      if (fingerprints.at(-1) !== identity.fingerprint) fingerprints.push(identity.fingerprint);
      return fingerprints;
    },
    async stop(): Promise<void> {
      stopping.abort();
      await Promise.all(loops);
      transport.close();
      await backlog.close();
    },
  };
}

interface Recorded {
  readonly lanes: readonly { lane: string; recorded: number; lost: number; missing: number }[];
}

it("changes the keys of 50 gateways and of central under load: no call fails, no message is lost", {
  timeout: 240_000,
}, async () => {
  using folder = temporaryFolder();
  await using central = await startTestCentral();
  const chain = (await (await fetch(`${central.url}/v1/signing-keys`)).json()) as SigningChain;
  await using stack = new AsyncDisposableStack();
  const fleet: Awaited<ReturnType<typeof startLight>>[] = [];
  const began = performance.now();
  for (let number = 1; number <= gateways; number++) {
    const light = await startLight(`plant-${number}`, folder.path, central, chain, number <= onDisks);
    fleet.push(stack.adopt(light, () => light.stop()));
  }
  const changed = (times: number) =>
    eventually(
      async () => fleet.filter((gateway) => gateway.seen().length > times).length,
      (done) => done === gateways,
    );
  await eventually(
    async () => fleet.filter(({ session }) => session.state.kind === "online").length,
    (online) => online === gateways,
  );
  const startedMs = Math.round(performance.now() - began);

  let loaded = 0;
  const load = (async () => {
    for (let batch = 0; batch < batches; batch++) {
      await Promise.all(fleet.map((gateway) => gateway.append(batch * perBatch)));
      loaded += gateways * perBatch;
      await clock.sleep(200);
    }
  })();
  // all of them at once, as a person asks for after a leak; central's own as well
  const asked = performance.now();
  await Promise.all(fleet.map(({ site }) => central.admin("POST", `/v1/sites/${site}/rotate-key`)));
  expect((await central.admin("POST", "/v1/signing-keys/rotate", {})).status).toBe(200);
  await changed(1);
  const rotatedMs = Math.round(performance.now() - asked);
  const newest = ((await (await fetch(`${central.url}/v1/signing-key`)).json()) as { kid: string }).kid;
  await eventually(
    async () => fleet.filter(({ centralKeys }) => centralKeys.newest === newest).length,
    (following) => following === gateways,
  );
  // and once more on schedule, while the keys before are still taken
  for (const { rotation } of fleet) rotation.configure({ keys: { rotateEvery: "1s", overlap: "1h" } });
  await changed(2);
  for (const { rotation } of fleet) rotation.configure({ keys: { rotateEvery: "90d", overlap: "1h" } });
  await load;
  await eventually(
    async () => (await Promise.all(fleet.map((gateway) => gateway.acknowledged()))).every(Boolean),
    (all) => all,
  );
  const appended = gateways * batches * perBatch;
  const recorded = await eventually(
    async () => {
      const answers = await Promise.all(fleet.map(({ site }) => central.admin<Recorded>("GET", `/v1/completeness?site=${site}`)));
      const all = answers.flatMap(({ body }) => body.lanes).filter(({ lane }) => lane === "transaction");
      return {
        recorded: all.reduce((sum, lane) => sum + lane.recorded, 0),
        missing: all.reduce((sum, lane) => sum + lane.missing + lane.lost, 0),
      };
    },
    ({ recorded }) => recorded >= appended,
  );
  const rotations = fleet.reduce((sum, gateway) => sum + gateway.seen().length - 1, 0);
  const audited = (await central.admin<{ keys: unknown[] }>("GET", "/v1/sites/plant-1/keys")).body.keys.length;
  const figures = { gateways, startedMs, rotations, rotatedMs, calls, appended: loaded, ...recorded };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  expect(calls.refused).toBe(0);
  expect(recorded).toEqual({ recorded: appended, missing: 0 });
  expect(rotations).toBeGreaterThanOrEqual(2 * gateways);
  expect(audited).toBeGreaterThanOrEqual(3);
});

/** A terminal's readings go to a display in the same plant, and to central. */
const localPlant = (port: number): Document[] =>
  [
    {
      apiVersion: "plantgate/v1",
      kind: "Template",
      metadata: { name: "floor", owner: "integration", purpose: "A display beside the machine" },
      spec: {
        parameters: {},
        codes: {},
        connectors: {
          floor: {
            type: "mqtt-broker",
            port,
            users: [{ username: "terminal", password: { secret: "terminal" }, publish: ["floor/#"], subscribe: ["shown/#"] }],
            grants: { subscribe: ["floor/#"], publish: ["shown/#"] },
          },
        },
        flows: {
          picks: {
            purpose: "What was picked, for the display",
            from: { connector: "floor", topic: "floor/picks" },
            as: "pick.confirmed",
            map: "payload",
            to: [{ connector: "floor", topic: "shown/{data.txnId}" }, { central: true }],
          },
        },
      },
    },
    {
      apiVersion: "plantgate/v1",
      kind: "Site",
      metadata: { name: "lyon", owner: "integration", purpose: "A plant", labels: { environment: "dev" } },
      spec: { template: "floor", timeZone: "UTC", parameters: {}, grants: { send: ["pick.confirmed"], receive: [] } },
    },
  ] as Document[];

it("refuses a revoked gateway within a minute, while its plant runs on", async () => {
  await using system = openSystem();
  const central = await system.central();
  const gateway = await system.gateway("lyon", central, { secrets: { terminal: "terminal-password" } });
  const reported = async () =>
    (await central.get<{ sites: { name: string; reportedRevision: number }[] }>("/v1/sites")).sites.find(
      ({ name }) => name === "lyon",
    );
  const port = await freePort();
  const revision = await central.push("lyon", localPlant(port));
  await eventually(reported, (site) => site?.reportedRevision === revision);
  const terminal = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { username: "terminal", password: "terminal-password" });
  const shown = new Set<string>();
  terminal.on("message", (topic) => void shown.add(topic.replace("shown/", "")));
  await terminal.subscribeAsync("shown/#", { qos: 1 });
  const say = async (txnId: string): Promise<void> => {
    const { data } = pick("lyon", txnId);
    await terminal.publishAsync("floor/picks", JSON.stringify(data), { qos: 1 });
    await eventually(
      async () => shown.has(txnId),
      (is) => is,
    );
  };
  const health = async () => (await (await fetch(`${gateway.url}/health`)).json()) as { link: string };
  await say("before");
  const { keys } = await central.get<{ keys: { fingerprint: string }[] }>("/v1/sites/lyon/keys");
  const from = performance.now();
  await central.post(`/v1/sites/lyon/keys/${keys[0]?.fingerprint}/revoke`);
  await eventually(health, ({ link }) => link === "denied");
  const refusedMs = Math.round(performance.now() - from);
  for (const txnId of ["after-1", "after-2", "after-3"]) await say(txnId);
  expect((await health()).link).toBe("denied");
  // what comes now waits on its disk
  const messages = await central.get<{ messages: unknown[] }>("/v1/messages?site=lyon&limit=100");
  process.stdout.write(
    `${JSON.stringify({ refusedMs, shownAfterwards: shown.size - 1, recordedAtCentral: messages.messages.length })}\n`,
  );
  expect(refusedMs).toBeLessThan(60_000);
  expect(JSON.stringify(messages)).toContain("before");
  expect(JSON.stringify(messages)).not.toContain("after-");
  await terminal.endAsync();
});
