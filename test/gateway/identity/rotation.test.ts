import { expect, it } from "vitest";
import { Identity } from "../../../gateway/identity/identity.ts";
import { KeyRotation } from "../../../gateway/identity/rotation.ts";
import type { OnlineLink, Session } from "../../../gateway/link/session.ts";
import { type LinkAnswer, type LinkRequest, Transport } from "../../../gateway/link/transport.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type KeyNotice, systemClock } from "../../../protocol/index.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { cuttingDisk } from "../../support/cutting-disk.ts";
import { temporaryFolder } from "../../support/folder.ts";

const get: LinkRequest = { method: "GET", path: "/v1/sites/lyon/enrollment", silenceMs: 5000 };
const log = openLogger({ level: "silent", site: "lyon" });

it("signs with a key that central takes after a cut at any step, also once the overlap is over", async () => {
  const clock = settableClock();
  await using central = await startTestCentral({ parts: { clock } });
  let sites = 0;
  for (let at = 0; ; at++) {
    const site = `plant-${++sites}`;
    // dates of answers are the machine's
    clock.aheadMs = 0;
    using folder = temporaryFolder();
    const first = Identity.open(folder.path).publicPem;
    await central.admin("POST", "/v1/sites", { name: site, publicKey: first });
    await central.admin("POST", `/v1/sites/${site}/rotate-key`);
    const disk = cuttingDisk(at);
    const identity = Identity.open(folder.path, disk);
    const stopping = new AbortController();
    const { signal } = stopping;
    const open = (keys: Identity) => new Transport({ site, centralUrl: central.url, keys, clock });
    const transport = open(identity);
    const asked = { ...get, path: `/v1/sites/${site}/enrollment` };
    const session = {
      state: { kind: "online" },
      online: async () => ({ kind: "online", session: "s", watermarks: [] }) as OnlineLink,
      send: (_: string, request: LinkRequest): Promise<LinkAnswer> => transport.send(request, signal),
      centralNow: () => clock.now(),
    } as unknown as Session;
    const tried = Promise.withResolvers<void>();
    const sleep = async (ms: number): Promise<void> => {
      if (ms > 0) stopping.abort();
      tried.resolve();
    };
    const rotation = new KeyRotation({
      ...{ site, identity, session, log, centralKeys: { expect: async () => {} } },
      clock: { ...systemClock, sleep },
    });
    rotation.configure({ keys: { rotateEvery: "90d", overlap: "1m" } });
    const running = rotation.run(signal);
    const since = new Date(clock.now()).toISOString();
    const notice: KeyNotice = { fingerprint: identity.fingerprint, since, rotate: true, seals: true, signingKey: "k" };
    rotation.noticed(notice);
    await tried.promise;
    stopping.abort();
    await running;
    transport.close();

    // the machine comes up again, at once and long after
    for (const laterMs of [0, 120_000]) {
      clock.pass(laterMs);
      const found = Identity.open(folder.path);
      const after = open(found);
      expect([at, laterMs, await after.send(asked, new AbortController().signal)]).toMatchObject([at, laterMs, { kind: "ok" }]);
      after.close();
    }
    if (disk.steps <= at) {
      expect(Identity.open(folder.path).publicPem).not.toBe(first);
      return;
    }
  }
});

it("is due by central's clock alone, each gateway somewhere in the last tenth of its key's life", async () => {
  using folder = temporaryFolder();
  const identity = Identity.open(folder.path);
  const day = 86_400_000;
  let now = 0;
  const introduced: number[] = [];
  const session = {
    online: async () => ({ kind: "online", session: "s", watermarks: [] }),
    send: async (): Promise<LinkAnswer> => {
      introduced.push(now / day);
      return { kind: "ok", status: 200, body: {}, text: "" };
    },
    centralNow: () => now,
  } as unknown as Session;
  const stopping = new AbortController();
  const rotation = new KeyRotation({
    site: "lyon",
    identity,
    session,
    log,
    clock: systemClock,
    centralKeys: { expect: async () => {} },
  });
  rotation.configure({ keys: { rotateEvery: "90d", overlap: "1h" } });
  const running = rotation.run(stopping.signal);
  const first = identity.fingerprint;
  for (let at = 0; at <= 90 && introduced.length === 0; at++) {
    now = at * day;
    rotation.noticed({ fingerprint: first, since: "1970-01-01T00:00:00.000Z", rotate: false, seals: true, signingKey: "k" });
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually(
    async () => identity.fingerprint,
    (fingerprint) => fingerprint !== first,
  );
  expect(introduced).toHaveLength(1);
  expect(introduced[0]).toBeGreaterThanOrEqual(81);
  expect(introduced[0]).toBeLessThanOrEqual(90);
  stopping.abort();
  await running;
});
