import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ReleasesAnswer } from "../../../central/http/api/releases.ts";
import type { RolloutView } from "../../../central/http/api/rollouts.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { plantgateHere } from "../../support/command.ts";
import { addGateway, Fleet } from "../../support/fleet.ts";
import { type Person, signInAs } from "../../support/people.ts";
import { addPackage, makePackage } from "../../support/releases.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

const deb = (version: string): string => `plantgate-gateway_${version}_amd64.deb`;
const quick = { waves: [{ count: 1 }], gate: { window: "1s", settle: "10s" } };

describe.each(await storages())("a version of gateways on %s", (storage) => {
  it("goes wave by wave to those that can be upgraded from here, each kept before it counts", async () => {
    await using central = await startTestCentral({ storage });
    await addPackage(central, makePackage(deb("0.2.0")));
    const fleet = await Fleet.of(central, ["a", "b"]);
    const hand = await addGateway(central, "c");
    await hand.status({ gatewayVersion: "0.1.0", platform: "windows-x64" });
    const arm = await addGateway(central, "d");
    await arm.status({ gatewayVersion: "0.1.0", platform: "linux-arm64", installed: "tar", upgrade: { state: "none" } });
    const number = await rollOut(central, "0.2.0");
    const told = await eventually(
      () => view(central, number),
      ({ counts }) => counts.told === 1,
    );
    expect(told).toMatchObject({ release: "0.2.0", waves: 2 });
    expect(told.events[0]?.text).toContain(
      "left alone: c is upgraded by hand; d has no package for linux-arm64 (tar) among those of 0.2.0",
    );
    const offer = await fleet.offer("a");
    expect(offer).toMatchObject({ version: "0.2.0", file: deb("0.2.0"), attempt: expect.stringMatching(`^${number}\\.`) });
    expect(await fleet.offer("b")).toBeUndefined();
    // what it runs on trial may yet be given back: no gate passes by that
    await fleet.says("a", "0.2.0", { state: "trial", version: "0.2.0" });
    await eventually(
      async () => {
        await fleet.says("a", "0.2.0", { state: "trial", version: "0.2.0" });
        return view(central, number);
      },
      ({ plan }) => (plan[0]?.heldMs ?? 0) > 1500,
    );
    expect((await view(central, number)).counts).toEqual({ watching: 1, waiting: 1 });
    await fleet.until(async () => (await view(central, number)).state === "done");
    expect(await view(central, number)).toMatchObject({ summary: "2 done" });
    const { sites } = (await central.admin<ReleasesAnswer>("GET", "/v1/releases")).body;
    expect(sites.map(({ site, version, installed, desiredVersion }) => [site, version, installed, desiredVersion])).toEqual([
      ["a", "0.2.0", "deb", "0.2.0"],
      ["b", "0.2.0", "deb", "0.2.0"],
      ["c", "0.1.0", null, null],
      ["d", "0.1.0", "tar", null],
    ]);
  });

  it("is put back everywhere when the machine of one site gave it back", async () => {
    await using central = await startTestCentral({ storage });
    await addPackage(central, makePackage(deb("0.1.0")));
    await addPackage(central, makePackage(deb("0.2.0")));
    const fleet = await Fleet.of(central, ["a", "b"]);
    fleet.bad.add("b");
    const number = await rollOut(central, "0.2.0");
    await fleet.until(async () => (await view(central, number)).state === "rolled-back");
    const { reason, plan } = await view(central, number);
    expect(reason).toBe("b: its gateway gave it back: it did not become ready");
    expect(plan.flatMap(({ sites }) => sites).map(({ site, state, reportedVersion }) => [site, state, reportedVersion])).toEqual([
      ["a", "put-back", "0.1.0"],
      ["b", "put-back", "0.1.0"],
    ]);
    // the way back is said to be one
    expect(fleet.taken.get("a")).toMatchObject([{ version: "0.2.0" }, { version: "0.1.0", older: true }]);
    const audit = await central.admin<object>("GET", "/v1/audit?limit=200");
    for (const action of ["change.created", "rollout.began", "rollout.siteFailed", "rollout.putBack", "rollout.ended"])
      expect(JSON.stringify(audit.body)).toContain(action);
  });

  it("leads nobody back who was upgraded by hand since, and goes back from it once that is said", async () => {
    await using central = await startTestCentral({ storage });
    for (const version of ["0.1.0", "0.2.0"]) await addPackage(central, makePackage(deb(version)));
    const fleet = await Fleet.of(central, ["a", "b"]);
    fleet.bad.add("b");
    const number = await rollOut(central, "0.2.0");
    await fleet.until(async () => (await view(central, number)).state === "rolled-back");
    for (const site of ["a", "b"]) {
      await fleet.says(site, "0.2.1", { state: "kept", version: "0.2.1" });
      expect(await fleet.offer(site)).not.toMatchObject({ older: true });
    }
    await rollOut(central, "0.1.0");
    const offer = await eventually(
      () => fleet.offer("a"),
      (each) => each?.older === true,
    );
    expect(offer).toMatchObject({ version: "0.1.0", older: true });
    // and nobody meant that one
    await fleet.says("a", "0.2.2", { state: "kept", version: "0.2.2" });
    expect(await fleet.offer("a")).not.toMatchObject({ older: true });
  });

  it("leaves alone who is ahead of it and never ran it, as a machine goes back to what it knows alone", async () => {
    await using central = await startTestCentral({ storage });
    for (const version of ["0.1.0", "0.2.0"]) await addPackage(central, makePackage(deb(version)));
    const fleet = await Fleet.of(central, ["a", "b"]);
    await fleet.says("b", "0.2.1", { state: "kept", version: "0.2.1" });
    const number = await rollOut(central, "0.2.0");
    await fleet.until(async () => (await view(central, number)).state === "done");
    const ended = await view(central, number);
    expect(ended).toMatchObject({ summary: "1 done" });
    expect(ended.events[0]?.text).toContain("left alone: b runs 0.2.1, which is newer, and never ran 0.2.0");
    const back = await rollOut(central, "0.1.0");
    await fleet.until(async () => (await view(central, back)).state === "done");
    expect(await view(central, back)).toMatchObject({ summary: "1 done" });
    expect(fleet.taken.get("a")).toMatchObject([{ version: "0.2.0" }, { version: "0.1.0", older: true }]);
    expect(fleet.taken.has("b")).toBe(false);
  });

  it("is not held up by characters in a gateway's words that a database does not take", async () => {
    await using central = await startTestCentral({ storage });
    for (const version of ["0.1.0", "0.2.0"]) await addPackage(central, makePackage(deb(version)));
    const fleet = await Fleet.of(central, ["a", "b"]);
    const odd = await addGateway(central, "c");
    await odd.status({ gatewayVersion: "0.1\0", platform: "linux-x64", installed: "deb", upgrade: { state: "none" } });
    const number = await rollOut(central, "0.2.0");
    await eventually(
      () => view(central, number),
      ({ state }) => state === "running",
    );
    const connector = { name: "wms", kind: "mqtt", since: new Date().toISOString(), connects: 0 };
    await odd.status({ connectors: [{ ...connector, state: "down", reason: "said \0\ud800" }] });
    await fleet.says("a", "0.1.0", {
      state: "refused",
      version: "0.2.0",
      reason: "bad\0bytes \ud800",
      at: "2026-01-31T08:01:00.000Z",
    });
    await eventually(
      () => view(central, number),
      ({ state }) => state !== "running",
    );
  });

  it("says of a site which cannot be brought back from here what to do", async () => {
    await using central = await startTestCentral({ storage });
    await addPackage(central, makePackage(deb("0.2.0")));
    const fleet = await Fleet.of(central, ["a", "b"]);
    fleet.bad.add("b");
    const strategy = { ...quick, gate: { window: "1s", settle: "1s" } };
    const number = await rollOut(central, "0.2.0", { strategy });
    await fleet.until(async () => (await view(central, number)).state === "rolled-back");
    const { events } = await view(central, number);
    expect(events.find(({ kind }) => kind === "not-back")?.text).toMatch(
      /^version 0\.1\.0 is not in effect again after \d s; central has no package of it for this site: install it there$/,
    );
    expect(await fleet.offer("a")).toBeUndefined();
  });

  it("reaches a site that was out of reach when it returns, after the rollout has ended", async () => {
    await using central = await startTestCentral({ storage, leaseSeconds: 2 });
    await addPackage(central, makePackage(deb("0.2.0")));
    const fleet = await Fleet.of(central, ["a", "b"]);
    fleet.silent.add("b");
    const number = await rollOut(central, "0.2.0", { strategy: { ...quick, unreachable: { after: "1s" } } });
    await fleet.until(async () => (await view(central, number)).state === "done");
    expect(await view(central, number)).toMatchObject({ summary: "1 done, 1 pending" });
    expect(await central.admin("DELETE", "/v1/releases/0.2.0")).toMatchObject({
      status: 409,
      body: { detail: "0.2.0 is wanted: site b has yet to get it" },
    });
    fleet.silent.clear();
    await fleet.until(async () => (await view(central, number)).summary === "2 done");
    // now they run it
    expect(await central.admin("DELETE", "/v1/releases/0.2.0")).toMatchObject({
      status: 409,
      body: { detail: "0.2.0 is wanted: 2 sites run it" },
    });
  });

  it("stays while sites run it, or would go back to it, and is taken away by whoever looks after all environments", async () => {
    await using central = await startTestCentral({ storage });
    for (const version of ["0.1.0", "0.2.0", "0.3.0"]) await addPackage(central, makePackage(deb(version)));
    const fleet = await Fleet.of(central, ["a"]);
    const tess = await signInAs(central, "tess", { roles: ["engineer"], environments: ["test"] });
    expect(await tess.call("DELETE", "/v1/releases/0.3.0")).toMatchObject({ status: 403 });
    const remove = (version: string) => central.admin("DELETE", `/v1/releases/${version}`);
    expect(await remove("0.1.0")).toMatchObject({ status: 409, body: { detail: "0.1.0 is wanted: site a runs it" } });
    for (const version of ["0.2.0", "0.3.0"]) {
      const number = await rollOut(central, version);
      await fleet.until(async () => (await view(central, number)).state === "done");
      if (version === "0.2.0")
        expect(await remove("0.1.0")).toMatchObject({
          status: 409,
          body: { detail: "0.1.0 is wanted: site a ran it before, and would go back to it" },
        });
    }
    expect(await remove("0.2.0")).toMatchObject({ status: 409 });
    expect(await remove("0.1.0")).toMatchObject({ status: 200 });
  });

  it("waits, where its environment asks for review, for somebody else than who wrote it", async () => {
    await using central = await startTestCentral({ storage });
    const fleet = await Fleet.of(central, ["a"], "prod");
    const emil = await signInAs(central, "emil", { roles: ["engineer", "approver"] });
    const paula = await signInAs(central, "paula", { roles: ["approver"] });
    const bob = await signInAs(central, "bob", { roles: ["engineer", "approver"] });
    await addPackage(central, makePackage(deb("0.2.0")), bob);
    const untested = "this plant has no gateway for tests";
    const body = { title: "to 0.2.0", environment: "prod", release: "0.2.0", untested, strategy: quick };
    // the key of the data folder is nobody
    expect(await central.admin("POST", "/v1/changes", body)).toMatchObject({ status: 403 });
    const { number } = (await emil.call<{ number: number }>("POST", "/v1/changes", body)).body;
    expect((await emil.call("POST", `/v1/changes/${number}/submit`, {})).body).toMatchObject({ state: "review", rollout: null });
    const { digest } = (await emil.call<{ digest: string }>("GET", `/v1/changes/${number}`)).body;
    expect(await emil.call("POST", `/v1/changes/${number}/approve`, { digest })).toMatchObject({ status: 403 });
    // who sent the package is no second person for it
    expect(await bob.call("POST", `/v1/changes/${number}/approve`, { digest })).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining("sent its packages") },
    });
    expect(await central.admin("DELETE", "/v1/releases/0.2.0")).toMatchObject({ status: 409 });
    // what comes later is no part of what is read
    await addPackage(central, makePackage("plantgate-0.2.0-linux-x64.tar.gz"));
    const read = (await paula.call<{ digest: string; packages: { file: string }[] }>("GET", `/v1/changes/${number}`)).body;
    expect(read).toMatchObject({ digest, packages: [{ file: deb("0.2.0") }] });
    expect(await paula.call("POST", `/v1/changes/${number}/approve`, { digest })).toMatchObject({ status: 200 });
    const rollout = await rolloutOf(paula, number);
    await fleet.until(async () => (await view(central, rollout)).state === "done");
    const entries = JSON.stringify((await central.admin("GET", "/v1/audit?limit=200")).body);
    expect(entries).toContain("change.approved");
  });

  it("is told beside central's own, and what a later gateway says of an upgrade costs nothing else of its report", async () => {
    await using central = await startTestCentral({ storage, parts: { version: "0.2.3" } });
    for (const version of ["0.2.0", "0.3.0"]) await addPackage(central, makePackage(deb(version)));
    const fleet = await Fleet.of(central, ["a", "b", "c", "d"]);
    await fleet.says("b", "0.2.9", { state: "none" });
    await fleet.says("c", "0.3.0", { state: "verifying", version: "0.3.0", measured: 3 });
    await fleet.says("d", "0.0.9", { state: "none" });
    const read = (await central.admin<ReleasesAnswer>("GET", "/v1/releases")).body;
    expect(read.central).toEqual({ version: "0.2.3" });
    expect(read.sites.map(({ site, beside }) => [site, beside])).toEqual([
      ["a", "older"],
      ["b", "same"],
      ["c", "newer"],
      ["d", "too-old"],
    ]);
    expect(read.sites[2]).toMatchObject({ version: "0.3.0", upgrade: { state: "verifying", version: "0.3.0" } });
    expect(new Map(read.releases.map(({ version, beside }) => [version, beside]))).toEqual(
      new Map([
        ["0.2.0", "same"],
        ["0.3.0", "newer"],
      ]),
    );
    const listed = await plantgateHere(
      ["release", "list", "--central", central.url, "--token-file", join(central.dataDir, "admin.token")],
      { cwd: central.dataDir },
    );
    for (const line of [/^central runs 0\.2\.3$/m, /^c .* 0\.3\.0 \(newer than central\)/m, /^d .* 0\.0\.9 \(too old\)/m])
      expect(listed.out).toMatch(line);
    expect(await (await fetch(`${central.url}/health`)).json()).toMatchObject({ status: "up", version: "0.2.3" });
  });

  it("goes to prod once it held its gate in test, in the same packages, or with a reason that is stated, approved and audited", async () => {
    await using central = await startTestCentral({ storage });
    const emil = await signInAs(central, "emil", { roles: ["engineer", "operator"] });
    const paula = await signInAs(central, "paula", { roles: ["approver"] });
    const rolf = await signInAs(central, "rolf", { roles: ["engineer"] });
    await addPackage(central, makePackage(deb("0.2.0")), rolf);
    const write = (environment: string, more: object = {}) =>
      emil.call<{ number: number; detail?: string; untested: string | null; packages: { file: string; ranBefore: number }[] }>(
        "POST",
        "/v1/changes",
        { title: `to 0.2.0 in ${environment}`, environment, release: "0.2.0", strategy: quick, ...more },
      );
    const goes = async (fleet: Fleet, number: number): Promise<void> => {
      await emil.call("POST", `/v1/changes/${number}/submit`, {});
      const { digest } = (await paula.call<{ digest: string }>("GET", `/v1/changes/${number}`)).body;
      expect(await paula.call("POST", `/v1/changes/${number}/approve`, { digest })).toMatchObject({ status: 200 });
      const rollout = await rolloutOf(paula, number);
      await fleet.until(async () => (await view(central, rollout)).state === "done");
    };
    const says = expect.stringMatching(
      /^prod takes a version that held its gate at a site of test, and 0\.2\.0 has not in these packages: roll it out there first/,
    );
    expect(await write("prod")).toMatchObject({ status: 409, body: { detail: says } });
    expect(await write("prod", { expedited: true })).toMatchObject({ status: 409, body: { detail: says } });
    // a stated reason is no way into an environment that asks for review without one
    const stated = await write("test", { untested: "dev has no gateway" });
    expect(stated).toMatchObject({ status: 201, body: { untested: "dev has no gateway", packages: [{ ranBefore: 0 }] } });
    // a rollout without a site proves nothing
    await goes(await Fleet.of(central, []), stated.body.number);
    expect(await write("prod")).toMatchObject({ status: 409, body: { detail: says } });
    const test = await Fleet.of(central, ["bench"], "test");
    await goes(test, (await write("test", { untested: "dev has no gateway" })).body.number);
    const { releases } = (await central.admin<ReleasesAnswer>("GET", "/v1/releases")).body;
    expect(releases).toMatchObject([{ version: "0.2.0", ran: [{ environment: "test", sites: 1 }] }]);
    const prod = await Fleet.of(central, ["lyon"], "prod");
    const written = await write("prod");
    expect(written.body).toMatchObject({ untested: null, packages: [{ file: deb("0.2.0"), ranBefore: 1 }] });
    await goes(prod, written.body.number);
    const entries = JSON.stringify((await central.admin("GET", "/v1/audit?limit=200")).body);
    expect(entries).toContain('"untested":"dev has no gateway"');
  });

  it("is carried on from test by the packages that ran there, and others under its name are another version", async () => {
    await using central = await startTestCentral({ storage });
    const emil = await signInAs(central, "emil", { roles: ["engineer", "approver"] });
    await addPackage(central, makePackage(deb("0.2.0")), emil);
    const dev = await Fleet.of(central, ["d"]);
    const inDev = await rollOut(central, "0.2.0");
    await dev.until(async () => (await view(central, inDev)).state === "done");
    const { change } = await view(central, inDev);
    const on = await emil.call<{ number: number; untested: string | null }>("POST", `/v1/changes/${change}/promote`, {
      environment: "test",
    });
    expect(on).toMatchObject({ status: 201, body: { untested: null, release: "0.2.0" } });
    await emil.call("POST", `/v1/changes/${on.body.number}/abandon`, {});
    // the site goes on to later ones, and the package is replaced by another one of the same name
    for (const version of ["0.3.0", "0.4.0"]) {
      await addPackage(central, makePackage(deb(version)));
      const number = await rollOut(central, version);
      await dev.until(async () => (await view(central, number)).state === "done");
    }
    expect(await central.admin("DELETE", "/v1/releases/0.2.0")).toMatchObject({ status: 200 });
    await addPackage(central, makePackage(deb("0.2.0")));
    expect(
      await emil.call("POST", "/v1/changes", { title: "again", environment: "test", release: "0.2.0", strategy: quick }),
    ).toMatchObject({ status: 409, body: { detail: expect.stringContaining("held its gate at a site of dev") } });
  });

  it("and a configuration go to an environment one after the other", async () => {
    await using central = await startTestCentral({ storage });
    await addPackage(central, makePackage(deb("0.2.0")));
    const fleet = await Fleet.of(central, ["a"]);
    const number = await rollOut(central, "0.2.0");
    await eventually(
      () => view(central, number),
      ({ state }) => state === "running",
    );
    const files = siteDocuments({ site: "a", labels: { environment: "dev" } }).map(({ name, text }) => ({ name, text }));
    const change = await central.admin<{ number: number }>("POST", "/v1/changes", {
      ...{ title: "first", environment: "dev", files, strategy: quick },
    });
    await central.admin("POST", `/v1/changes/${change.body.number}/submit`, {});
    const second = await rolloutOf(central, change.body.number);
    expect((await view(central, second)).state).toBe("queued");
    await fleet.until(async () => (await view(central, number)).state === "done");
    await fleet.until(async () => (await view(central, second)).state === "done");
    expect(await view(central, second)).toMatchObject({ release: null, summary: "1 done" });
  });

  it("is started, watched and aborted from the command line", async () => {
    await using central = await startTestCentral({ storage });
    await addPackage(central, makePackage(deb("0.1.0")));
    await addPackage(central, makePackage(deb("0.2.0")));
    const fleet = await Fleet.of(central, ["a", "b"]);
    const cli = (...args: string[]) =>
      plantgateHere([...args, "--central", central.url, "--token-file", join(central.dataDir, "admin.token")], {
        cwd: central.dataDir,
      });
    expect(await cli("rollout", "start", "--release", "0.3.0", "--environment", "dev")).toMatchObject({ code: 1 });
    const started = await cli("rollout", "start", "--release", "0.2.0", "--environment", "dev", "--waves", "1,100%");
    expect(started.out).toMatch(/release +0\.2\.0/);
    const number = Number(/rollout +(\d+)/.exec(started.out)?.[1]);
    await eventually(
      () => view(central, number),
      ({ state }) => state === "running",
    );
    await fleet.until(async () => fleet.taken.has("a"));
    expect((await cli("release", "list")).out).toMatch(/a +dev +linux-x64 +0\.2\.0 +0\.2\.0 +kept/);
    expect((await cli("rollout", "abort", String(number), "--reason", "not today")).code).toBe(0);
    await fleet.until(async () => (await view(central, number)).state === "aborted");
  });
});

async function rollOut(central: TestCentral, release: string, more: object = {}): Promise<number> {
  const body = { title: `to ${release}`, environment: "dev", release, strategy: quick, ...more };
  const made = await central.admin<{ number: number }>("POST", "/v1/changes", body);
  const sent = await central.admin("POST", `/v1/changes/${made.body.number}/submit`, {});
  if (sent.status !== 200) throw new Error(JSON.stringify([made.body, sent.body]));
  return rolloutOf(central, made.body.number);
}

async function rolloutOf(who: TestCentral | Person, change: number): Promise<number> {
  const call = "admin" in who ? who.admin : who.call;
  const { body } = await eventually(
    () => call<{ rollout: number | null }>("GET", `/v1/changes/${change}`),
    ({ body: { rollout } }) => rollout !== null,
  );
  return body.rollout ?? 0;
}

async function view(central: TestCentral, number: number): Promise<RolloutView> {
  return (await central.admin<RolloutView>("GET", `/v1/rollouts/${number}`)).body;
}
