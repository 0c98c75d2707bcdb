import { cpSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Identity } from "../../../gateway/identity/identity.ts";
import { KeyRotation } from "../../../gateway/identity/rotation.ts";
import type { OnlineLink, Session } from "../../../gateway/link/session.ts";
import { type LinkAnswer, type LinkRequest, Transport } from "../../../gateway/link/transport.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { systemClock } from "../../../protocol/index.ts";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { cuttingDisk } from "../../support/cutting-disk.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { storages } from "../../support/storages.ts";

const log = openLogger({ level: "silent", site: "lyon" });

/** What central answers to whoever has these keys. */
async function asked(central: TestCentral, site: string, keys: Identity): Promise<LinkAnswer> {
  const transport = new Transport({ site, centralUrl: central.url, keys, clock: systemClock });
  const request: LinkRequest = { method: "GET", path: `/v1/sites/${site}/enrollment`, silenceMs: 5000 };
  try {
    return await transport.send(request, new AbortController().signal);
  } finally {
    transport.close();
  }
}

/** A gateway's run, as far as its keys are concerned: central's notice comes until nothing is changed any more, or the machine dies. */
async function run(
  central: TestCentral,
  site: string,
  identity: Identity,
  leftBehind: ReadonlySet<string>,
  { rotate = false, reports: most = 4 } = {},
): Promise<void> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const transport = new Transport({ site, centralUrl: central.url, keys: identity, clock: systemClock });
  const session = {
    online: async () => ({ kind: "online", session: "s", watermarks: [] }) as OnlineLink,
    send: (_: string, request: LinkRequest): Promise<LinkAnswer> => transport.send(request, signal),
    centralNow: () => Date.now(),
  } as unknown as Session;
  let turn = Promise.withResolvers<"done" | "failed">();
  const sleep = async (ms: number): Promise<void> => turn.resolve(ms > 0 ? "failed" : "done");
  const clock = { ...systemClock, sleep };
  const rotation = new KeyRotation({ site, identity, leftBehind, session, log, clock, centralKeys: { expect: async () => {} } });
  rotation.configure({ keys: { rotateEvery: "90d", overlap: "1h" } });
  const running = rotation.run(signal);
  for (let reports = 0; reports < most; reports++) {
    turn = Promise.withResolvers();
    const since = new Date().toISOString();
    rotation.noticed({ fingerprint: identity.fingerprint, since, rotate, seals: true, signingKey: "k" });
    if ((await turn.promise) === "failed") break;
  }
  stopping.abort();
  await running;
  transport.close();
}

/** What central says to a gateway that leaves its keys before its hello. */
async function leave(central: TestCentral, site: string, identity: Identity, leftBehind: ReadonlySet<string>) {
  const transport = new Transport({ site, centralUrl: central.url, keys: identity, clock: systemClock });
  const session = {} as Session;
  const rotation = new KeyRotation({
    ...{ site, identity, leftBehind, session, log, clock: systemClock },
    centralKeys: { expect: async () => {} },
  });
  try {
    return await rotation.leave((request) => transport.send(request, new AbortController().signal));
  } finally {
    transport.close();
  }
}

const known = (identity: Identity): ReadonlySet<string> =>
  new Set([identity.current, ...identity.others].map(({ fingerprint }) => fingerprint));

describe.each(await storages())("the keys of a gateway that moved, with central on %s", (storage) => {
  it("are left at once, whatever cuts that off, and who has the old ones is told", async () => {
    await using central = await startTestCentral({ storage });
    for (let at = 0; ; at++) {
      const site = `plant-${at}`;
      using folder = temporaryFolder();
      const [old, fresh] = [join(folder.path, "old"), join(folder.path, "new")];
      await central.admin("POST", "/v1/sites", { name: site, publicKey: Identity.open(old).publicPem });
      // one that was made before, and that central never heard of
      if (at % 2 === 1) Identity.open(old).prepareNext();
      cpSync(old, fresh, { recursive: true });
      const leftBehind = known(Identity.open(fresh));
      const disk = cuttingDisk(at);
      await run(central, site, Identity.open(fresh, disk), leftBehind).catch(() => {});
      // the machine comes up again
      const again = Identity.open(fresh);
      expect([at, await asked(central, site, again)]).toMatchObject([at, { kind: "ok" }]);
      await run(central, site, again, leftBehind);
      expect([at, leftBehind.has(Identity.open(fresh).fingerprint)]).toEqual([at, false]);
      const copy = await asked(central, site, Identity.open(old));
      expect([at, copy]).toMatchObject([at, { kind: "problem", problem: { code: "key-unknown", moved: true } }]);
      expect([at, await asked(central, site, Identity.open(fresh))]).toMatchObject([at, { kind: "ok" }]);
      const { keys } = (await central.admin<{ keys: { state: string }[] }>("GET", `/v1/sites/${site}/keys`)).body;
      expect(keys.filter(({ state }) => state === "active")).toHaveLength(1);
      expect(keys.filter(({ state }) => state === "retiring" || state === "retired")).toEqual([]);
      if (disk.steps <= at && at > 1) return;
    }
  });

  it("are left by one of two machines that took in the same file, and the other is told, however they come", async () => {
    await using central = await startTestCentral({ storage });
    for (const prepared of [false, true]) {
      const site = `plant-${prepared}`;
      using folder = temporaryFolder();
      const [one, two] = [join(folder.path, "one"), join(folder.path, "two")];
      await central.admin("POST", "/v1/sites", { name: site, publicKey: Identity.open(one).publicPem });
      if (prepared) Identity.open(one).prepareNext();
      cpSync(one, two, { recursive: true });
      const leftBehind = known(Identity.open(one));
      const both = [Identity.open(one), Identity.open(two)];
      const answers = await Promise.all(both.map((identity) => leave(central, site, identity, leftBehind)));
      expect([prepared, answers.filter((answer) => answer === undefined)]).toEqual([prepared, [undefined]]);
      const [winner, loser] = answers[0] === undefined ? [one, two] : [two, one];
      expect(await asked(central, site, Identity.open(winner))).toMatchObject({ kind: "ok" });
      expect(leftBehind.has(Identity.open(winner).fingerprint)).toBe(false);
      expect(await asked(central, site, Identity.open(loser))).toMatchObject({ problem: { code: "key-unknown", moved: true } });
    }
  });

  it("stay what they are when a person revokes one, so that its copy stops", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const [old, fresh] = [join(folder.path, "old"), join(folder.path, "new")];
    const { publicPem, fingerprint } = Identity.open(old);
    await central.admin("POST", "/v1/sites", { name: "lyon", publicKey: publicPem });
    cpSync(old, fresh, { recursive: true });
    await run(central, "lyon", Identity.open(fresh), known(Identity.open(fresh)));
    expect((await central.admin("POST", `/v1/sites/lyon/keys/${fingerprint}/revoke`)).status).toBe(200);
    expect(await asked(central, "lyon", Identity.open(old))).toMatchObject({ problem: { moved: true } });
  });

  it("tell an image too that is several changes of keys older than the move", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const [old, image, fresh] = ["old", "image", "new"].map((name) => join(folder.path, name)) as [string, string, string];
    await central.admin("POST", "/v1/sites", { name: "lyon", publicKey: Identity.open(old).publicPem });
    cpSync(old, image, { recursive: true });
    for (let changes = 0; changes < 2; changes++)
      await run(central, "lyon", Identity.open(old), new Set(), { rotate: true, reports: 1 });
    expect(await asked(central, "lyon", Identity.open(image))).toMatchObject({ problem: { code: "key-unknown" } });
    cpSync(old, fresh, { recursive: true });
    await run(central, "lyon", Identity.open(fresh), known(Identity.open(fresh)));
    for (const copy of [image, old])
      expect(await asked(central, "lyon", Identity.open(copy))).toMatchObject({ problem: { moved: true } });
    expect(await asked(central, "lyon", Identity.open(fresh))).toMatchObject({ kind: "ok" });
  });

  it("let it in again where central is set back to before the move, and then forward again", async () => {
    await using later = await startTestCentral({ storage });
    await using earlier = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { path } = folder;
    const { publicPem } = Identity.open(path);
    for (const central of [later, earlier]) await central.admin("POST", "/v1/sites", { name: "lyon", publicKey: publicPem });
    const leftBehind = known(Identity.open(path));
    for (const central of [later, earlier, later, earlier]) {
      expect(await asked(central, "lyon", Identity.open(path))).toMatchObject({ kind: "ok" });
      await run(central, "lyon", Identity.open(path), leftBehind);
      expect(leftBehind.has(Identity.open(path).fingerprint)).toBe(false);
    }
  });
});
