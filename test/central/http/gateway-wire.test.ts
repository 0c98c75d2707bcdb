import { randomBytes } from "node:crypto";
import { type ClientRequest, request } from "node:http";
import { constants, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SitesAnswer } from "../../../central/http/views.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { generateGatewayKey, type TestGateway } from "../../support/gateway-client.ts";
import { sample } from "../../support/messages.ts";
import { storages } from "../../support/storages.ts";

describe.each(await storages())("on %s", (storage) => {
  let central: TestCentral;
  let plant: TestGateway;
  let counter = 0;

  beforeAll(async () => {
    central = await startTestCentral({ storage });
    plant = await central.addSite("plant-a");
  });
  afterAll(() => central[Symbol.asyncDispose]());

  async function freshLane(frames: number, perFrame = 2, site = plant) {
    const lane = site.lane("telemetry");
    for (let frame = 0; frame < frames; frame++)
      lane.append(Array.from({ length: perFrame }, () => sample(site.site, ++counter)));
    expect(await site.hello([lane])).toMatchObject({ status: 200 });
    return lane;
  }

  it("takes a report with words of a later gateway as the worst that they may mean, and all else of it as it is", async () => {
    const site = await central.addSite("plant-later");
    const now = new Date().toISOString();
    const later = { lane: "alarms", epoch: "e-later", firstSequence: 1 };
    const hello = { gatewayVersion: "9.0.0", bootId: "b", sentAt: now, epochs: [later] };
    const begun = await site.call<{ session: string; watermarks: unknown[] }>("POST", "sessions", hello);
    expect(begun).toMatchObject({ status: 200, body: { watermarks: [] } });
    site.session = begun.body.session;
    const connector = { kind: "mqtt", since: now, connects: 1 };
    const said = await site.status({
      connectors: [
        { ...connector, name: "wms", state: "asleep", reason: "the line rests" },
        { ...connector, name: "press", state: "up" },
      ],
      disk: { state: "nearly-full", freeBytes: 7 },
      configuration: { reported: 3, state: "rehearsing" },
      lanes: [{ ...later, last: 1, acknowledged: 0, waitingBytes: 10 }],
      deadLetters: 4,
    });
    expect(said).toMatchObject({ status: 200 });
    const { sites } = (await central.admin<SitesAnswer>("GET", "/v1/sites")).body;
    expect(sites.find(({ name }) => name === "plant-later")).toMatchObject({
      connectors: [
        { name: "wms", state: "degraded", reason: 'says "asleep", which this central does not know: the line rests' },
        { name: "press", state: "up" },
      ],
      disk: { state: "discarding", freeBytes: 7 },
      reportedRevision: 3,
      deadLetters: 4,
      lanes: [],
    });
    // what is no word stays refused
    expect(await site.status({ disk: { state: 7, freeBytes: 7 } })).toMatchObject({ status: 422 });
    expect(await site.status({ lanes: [{ lane: "alarms" }, { lane: "bulk" }] })).toMatchObject({ status: 422 });
  });

  it("takes what a newer gateway says besides, and an older one that does not say all of it", async () => {
    const site = await central.addSite("plant-newer");
    const hello = { gatewayVersion: "9.0.0", bootId: "b", sentAt: new Date().toISOString(), epochs: [], mood: "good" };
    const begun = await site.call<{ session: string }>("POST", "sessions", hello);
    expect(begun.status).toBe(200);
    site.session = begun.body.session;
    const poll = { session: site.session, ack: { sequence: 0, unheardOf: 1 }, knownRevision: 0, waitMs: 0, unheardOf: 1 };
    expect((await site.call("POST", "downlink", poll)).status).toBe(200);
    const refused = { revision: 2, unheardOf: 1 };
    const configuration = { reported: 1, state: "rolled-back", reason: "it did not do well", refused, unheardOf: 1 };
    expect((await site.status({ configuration, unheardOf: { deep: true } })).status).toBe(200);
    const sites = async () => (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites;
    expect((await sites()).find(({ name }) => name === "plant-newer")).toMatchObject({
      ...{ reportedRevision: 1, configurationState: "rolled-back", configurationReason: "it did not do well" },
      reason: expect.stringContaining("it did not do well"),
    });
    // as gateways reported before they watched
    expect((await site.status({ configuration: { reported: 2, state: "active" } })).status).toBe(200);
  });

  describe("tokens", () => {
    const ask = async (options: Parameters<TestGateway["token"]>[0] | null, site = plant) =>
      (await site.call("GET", "bundles/1", undefined, { token: options === null ? null : await plant.token(options) })).body.code;

    it("names what is wrong with a token: none, unreadable, expired, not yet valid, too long a life, wrong audience", async () => {
      const now = Math.floor(Date.now() / 1000);
      expect(await ask(null)).toBe("not-signed");
      expect((await plant.call("GET", "bundles/1", undefined, { token: "rubbish" })).body.code).toBe("token-invalid");
      expect(await ask({ issuedAt: now - 4000 })).toBe("token-expired");
      expect(await ask({ issuedAt: now + 4000 })).toBe("token-expired");
      expect(await ask({ lifeSeconds: 3600 })).toBe("token-invalid");
      expect(await ask({ audience: "somebody-else" })).toBe("token-invalid");
      expect(await ask({})).toBe("not-found");
    });

    it("refuses a token that another key than the site's own signed", async () => {
      const { privateKey } = await generateGatewayKey();
      expect(await ask({ key: privateKey })).toBe("key-unknown");
    });

    it("refuses a token of a site that does not exist, and one that acts for another site", async () => {
      expect(await ask({ site: "nowhere" })).toBe("site-unknown");
      const other = await central.addSite("plant-other");
      expect(await ask({}, other)).toBe("not-allowed");
    });

    it("refuses a token that is signed with a shared secret instead of a key pair", async () => {
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: "plant-a", sub: "plant-a", aud: "plantgate-central", iat: now, exp: now + 60 };
      for (const alg of ["HS256", "none"]) {
        const token = `${part({ alg })}.${part(claims)}.${alg === "none" ? "" : randomBytes(32).toString("base64url")}`;
        expect((await plant.call("GET", "bundles/1", undefined, { token })).body.code).toBe("token-invalid");
      }
    });

    it("turns a revoked site away, until it is added with a new key", async () => {
      const site = await central.addSite("plant-lost");
      await site.hello();
      await central.admin("POST", "/v1/sites/plant-lost/revoke");
      expect(await site.status()).toMatchObject({ status: 403, body: { code: "site-revoked" } });
      await central.addSite("plant-lost").then((renewed) => expect(renewed.hello()).resolves.toMatchObject({ status: 200 }));
      expect((await site.hello()).body.code).toBe("site-revoked");
    });
  });

  describe("batches", () => {
    it("records a batch once when it is sent again after a lost answer", async () => {
      const lane = await freshLane(2);
      expect(await plant.send(lane)).toMatchObject({ status: 200, body: { watermark: 4 } });
      expect(await plant.send(lane)).toMatchObject({ status: 200, body: { watermark: 4 } });
      const { body } = await central.admin<{ lanes: { epoch: string; recorded: number }[] }>(
        "GET",
        "/v1/completeness?site=plant-a",
      );
      expect(body.lanes.find(({ epoch }) => epoch === lane.epoch)).toMatchObject({
        recorded: 4,
        ranges: [{ first: 1, last: 4 }],
        gaps: [],
      });
    });

    it("drops the part of a batch that is recorded already and takes the rest", async () => {
      const lane = await freshLane(4);
      expect((await plant.send(lane, lane.batch(1, 4))).body.watermark).toBe(4);
      expect((await plant.send(lane, lane.batch(3, 8))).body.watermark).toBe(8);
      expect((await plant.send(lane, lane.batch(1, 8))).body.watermark).toBe(8);
    });

    it("answers gap with what it has when messages before the batch are missing", async () => {
      const lane = await freshLane(3);
      expect((await plant.send(lane, lane.batch(1, 2))).status).toBe(200);
      expect(await plant.send(lane, lane.batch(5, 6))).toMatchObject({ status: 409, body: { code: "gap", watermark: 2 } });
    });

    it("answers fork when recorded sequences come with other content, or continue another history", async () => {
      const lane = await freshLane(1);
      await plant.send(lane);
      const clone = plant.lane("telemetry", { epoch: lane.epoch });
      clone.append([sample("plant-a", -1), sample("plant-a", -2)]);
      clone.append([sample("plant-a", -3)]);
      expect(await plant.send(clone, clone.batch(1, 2))).toMatchObject({ status: 409, body: { code: "fork", watermark: 2 } });
      expect(await plant.send(clone, clone.batch(1, 3))).toMatchObject({ status: 409, body: { code: "fork", watermark: 2 } });
      expect(await plant.send(clone, clone.batch(3, 3))).toMatchObject({ status: 409, body: { code: "fork", watermark: 2 } });
    });

    it("answers fork when a batch cuts the recorded frames differently", async () => {
      const lane = await freshLane(2, 3);
      await plant.send(lane);
      const recut = plant.lane("telemetry", { epoch: lane.epoch });
      recut.append([sample("plant-a", 1)]);
      for (let frame = 0; frame < 3; frame++) recut.append([sample("plant-a", 1), sample("plant-a", 2)]);
      expect((await plant.send(recut)).body).toMatchObject({ code: "fork", watermark: 6 });
    });

    it("goes on under a new epoch that names what it continues", async () => {
      const lane = await freshLane(1);
      await plant.send(lane);
      const next = plant.lane("telemetry", { firstSequence: 3, predecessor: { epoch: lane.epoch, lastSequence: 2 } });
      next.append([sample("plant-a", 1)]);
      expect((await plant.send(next)).body.code).toBe("session-unknown");
      expect((await plant.hello([next])).body.watermarks).toEqual([{ lane: "telemetry", epoch: next.epoch, watermark: 2 }]);
      expect(await plant.send(next)).toMatchObject({ status: 200, body: { watermark: 3 } });
    });

    it("goes on with the chain of the epoch before, and trims an overlap of it as well", async () => {
      const lane = await freshLane(2);
      await plant.send(lane);
      const { chain } = lane.batch();
      const next = plant.lane("telemetry", { firstSequence: 5, chain, predecessor: { epoch: lane.epoch, lastSequence: 4 } });
      for (let frame = 0; frame < 3; frame++) next.append([sample("plant-a", ++counter)]);
      await plant.hello([next]);
      expect(await plant.send(next, next.batch(5, 6))).toMatchObject({ status: 200, body: { watermark: 6 } });
      expect(await plant.send(next)).toMatchObject({ status: 200, body: { watermark: 7 } });
      const other = plant.lane("telemetry", { epoch: next.epoch, firstSequence: 5 });
      other.append([sample("plant-a", ++counter)]);
      expect((await plant.send(other)).body).toMatchObject({ code: "fork", watermark: 7 });
    });

    it("fences an older session and knows no session that never began", async () => {
      const lane = await freshLane(1);
      const before = plant.session;
      await plant.hello([lane]);
      expect((await plant.send(lane, lane.batch(), { "plantgate-session": before })).body.code).toBe("fenced");
      expect((await plant.send(lane, lane.batch(), { "plantgate-session": "never" })).body.code).toBe("session-unknown");
      expect((await plant.downlink({ session: before })).body.code).toBe("fenced");
      expect((await plant.status({ session: before })).body.code).toBe("fenced");
    });

    it("refuses what is not zstd of NDJSON, and counts that do not match", async () => {
      const lane = await freshLane(1);
      const send = (headers: Record<string, string>) => plant.send(lane, lane.batch(), headers).then(({ body }) => body.code);
      expect(await send({ "content-type": "application/json" })).toBe("unsupported-media");
      expect(await send({ "content-encoding": "gzip" })).toBe("unsupported-media");
      expect(await send({ "plantgate-count": "3" })).toBe("invalid");
      expect(await send({ "plantgate-frames": "2/1" })).toBe("invalid");
      expect(await send({ "plantgate-frames": "two" })).toBe("invalid");
      expect(await send({ "plantgate-chain": "abc" })).toBe("invalid");
      const miscounted = plant.lane("telemetry", { epoch: lane.epoch });
      miscounted.append(["a", "b"], zstdCompressSync("one line\n"));
      expect((await plant.send(miscounted)).body).toMatchObject({
        code: "invalid",
        detail: expect.stringContaining("says 2 messages and holds 1"),
      });
      const garbage = plant.lane("telemetry", { epoch: lane.epoch });
      garbage.append(["a"], randomBytes(64));
      expect((await plant.send(garbage)).body).toMatchObject({ code: "invalid", detail: expect.stringContaining("not zstd") });
      expect((await plant.send(lane)).status).toBe(200);
    });

    it("stops inflating at 32 MiB, in one frame or over all of them", async () => {
      const lane = await freshLane(0);
      const level = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
      const bomb = zstdCompressSync(Buffer.alloc(256 * 1024 * 1024, 10), level);
      expect(bomb.length).toBeLessThan(100_000);
      lane.append(["a"], bomb);
      const before = process.memoryUsage.rss();
      expect((await plant.send(lane)).body).toMatchObject({
        code: "invalid",
        detail: expect.stringContaining("inflates to more than"),
      });
      expect(process.memoryUsage.rss() - before).toBeLessThan(240 * 1024 * 1024);
      const many = plant.lane("telemetry", { epoch: lane.epoch });
      const part = zstdCompressSync(`${" ".repeat(3 * 1024 * 1024)}\n`, level);
      for (let frame = 0; frame < 12; frame++) many.append(["a"], part);
      expect((await plant.send(many)).body).toMatchObject({
        code: "too-large",
        detail: expect.stringContaining("inflates to more than"),
      });
    });

    it("takes headers as large as a batch of many frames and the proxies on its way make them", async () => {
      const lane = await freshLane(500, 1);
      expect(lane.batch().entries.length).toBeGreaterThan(2000);
      const answer = await plant.send(lane, lane.batch(), { "x-forwarded-by": "p".repeat(20_000) });
      expect(answer).toMatchObject({ status: 200, body: { watermark: 500 } });
    });

    it("refuses a body larger than a batch may be before it reads it", async () => {
      const lane = await freshLane(1);
      const status = await announced(lane.epoch, 5 * 1024 * 1024);
      expect(status).toBe(413);
    });

    it("pushes back with Retry-After when announced bodies exceed what there is, and takes batches again once they are gone", async () => {
      const others = await Promise.all(Array.from({ length: 8 }, (_, index) => central.addSite(`plant-full-${index}`)));
      const epochs = await Promise.all(others.map(async (site) => (await freshLane(1, 1, site)).epoch));
      const lane = await freshLane(1);
      await using open = new Announcements();
      for (const [index, site] of others.entries())
        for (let n = 0; n < 2; n++) open.keep(() => announce(epochs[index]!, 4 * 1024 * 1024, site));
      // the bodies are announced, none has come
      const refused = await untilBusy(() => plant.send(lane));
      expect(refused).toMatchObject({ status: 503, body: { code: "busy" } });
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      await open.end();
      const taken = await untilNotBusy(() => plant.send(lane));
      expect(taken.status).toBe(200);
    });

    it("answers 429 to a site that has more batches in work than its share, and nobody else", async () => {
      const greedy = await central.addSite("plant-greedy");
      const lane = await freshLane(1, 1, greedy);
      await using open = new Announcements();
      for (let n = 0; n < 5; n++) open.keep(() => announce(lane.epoch, 1000, greedy));
      // four are let in and wait for their bodies, the fifth is answered
      expect(await open.refused).toBe(429);
      const refused = await greedy.send(lane);
      expect(refused).toMatchObject({ status: 429, body: { code: "limited" } });
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      const other = await freshLane(1);
      expect((await untilNotBusy(() => plant.send(other))).status).toBe(200);
    });
  });

  async function announce(epoch: string, bytes: number, site = plant) {
    const token = await site.token();
    const sent = request(`${central.url}/v1/sites/${site.site}/lanes/telemetry/batches`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/x-ndjson",
        "content-encoding": "zstd",
        "content-length": bytes,
        "plantgate-session": site.session,
        "plantgate-epoch": epoch,
        "plantgate-first-sequence": "1",
        "plantgate-count": "1",
        "plantgate-chain": "0".repeat(64),
        "plantgate-frames": `1/${bytes}`,
      },
    });
    sent.on("error", () => {});
    sent.flushHeaders();
    return sent;
  }

  async function announced(epoch: string, bytes: number): Promise<number | undefined> {
    const sent = await announce(epoch, bytes);
    const status = await answered(sent);
    sent.destroy();
    return status;
  }
});

type Sent = Awaited<ReturnType<TestGateway["send"]>>;
function answered(sent: ClientRequest): Promise<number | undefined> {
  return new Promise((resolve) => sent.once("response", (answer) => resolve(answer.statusCode)));
}
const untilBusy = (send: () => Promise<Sent>): Promise<Sent> => eventually(send, ({ status }) => status === 503);
const untilNotBusy = (send: () => Promise<Sent>): Promise<Sent> => eventually(send, ({ status }) => status !== 503);

/** Batches whose bodies never come. One that a slow machine turns away as busy comes back, as a gateway does. */
class Announcements {
  readonly #open: Promise<ClientRequest>[] = [];
  readonly #refused = Promise.withResolvers<number | undefined>();
  #ended = false;

  keep(announce: () => Promise<ClientRequest>): void {
    const sent = announce();
    this.#open.push(sent);
    void sent.then(answered).then((status) => {
      if (status !== 503) this.#refused.resolve(status);
      else if (!this.#ended) this.keep(announce);
    });
  }

  /** How the first one is answered that is not merely busy. */
  get refused(): Promise<number | undefined> {
    return this.#refused.promise;
  }

  async end(): Promise<void> {
    this.#ended = true;
    for (const sent of this.#open) (await sent).destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}
