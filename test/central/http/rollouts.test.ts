import { join } from "node:path";
import { expect, it } from "vitest";
import type { RolloutSummary, RolloutView } from "../../../central/http/api/rollouts.ts";
import { byKey, type Caller, signIn } from "../../../packaging/demo/rollout/people.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { plantgateHere } from "../../support/command.ts";
import type { TestGateway } from "../../support/gateway-client.ts";
import { siteDocuments } from "../../support/site-documents.ts";

const strategy = { waves: [{ count: 1 }], gate: { window: "1s", settle: "60s" } };

it("a rollout is listed, looked at, and decided upon by who may", async () => {
  await using central = await startTestCentral();
  const admin = byKey(central.url, central.adminToken);
  const operator = await signIn(central.url, admin, "olga", ["operator"]);
  const engineer = await signIn(central.url, admin, "emil", ["engineer"]);
  const viewer = await signIn(central.url, admin, "vera", ["viewer"]);
  const gateways = new Map<string, TestGateway>();
  for (const site of ["a", "b"]) {
    const gateway = await central.addSite(site);
    await gateway.hello();
    gateways.set(site, gateway);
  }
  const change = await roll(engineer, "first", ["a", "b"], { strategy });
  const number = await rolloutOf(viewer, change);
  const view = (): Promise<RolloutView> => viewer.call("GET", `/v1/rollouts/${number}`);
  const told = await eventually(view, ({ counts }) => counts.told === 1);
  expect(told.plan.map(({ title, state, sites }) => [title, state, sites.map(({ site }) => site)])).toEqual([
    ["canary", "updating", ["a"]],
    ["the rest", "waiting", ["b"]],
  ]);
  expect(told.may).toEqual({
    pause: { allowed: false, reason: "this takes the role operator or engineer or approver" },
    resume: { allowed: false, reason: "this takes the role engineer or approver" },
    abort: { allowed: false, reason: "this takes the role engineer or approver" },
  });

  const decide = (who: Caller, decision: string, reason = ""): Promise<RolloutView> =>
    who.call("POST", `/v1/rollouts/${number}/${decision}`, { reason });
  await expect(decide(viewer, "pause")).rejects.toThrow("403");
  expect((await decide(operator, "pause", "the shift changes")).state).toBe("paused");
  await expect(decide(operator, "resume")).rejects.toThrow("403");
  await expect(decide(engineer, "pause")).rejects.toThrow("409");
  await expect(decide(engineer, "abort")).rejects.toThrow("say why");
  expect((await decide(engineer, "resume")).state).toBe("running");

  await runDesired(central, gateways, async () => (await view()).state === "done");
  const { rollouts } = await viewer.call<{ rollouts: RolloutSummary[] }>("GET", "/v1/rollouts?environment=dev");
  expect(rollouts).toMatchObject([{ number, change, state: "done", summary: "2 done", counts: { healthy: 2 } }]);
  expect(await viewer.call("GET", `/v1/changes/${change}`)).toMatchObject({ state: "done", rollout: number });
  await expect(viewer.call("GET", "/v1/rollouts/99")).rejects.toThrow("404");
  await expect(decide(engineer, "abort", "too late")).rejects.toThrow("it has ended (done)");

  // the same again is no change for anybody, and tells nobody
  const again = await roll(engineer, "first", ["a", "b"], { strategy });
  const second = await rolloutOf(viewer, again);
  const done = await eventually(
    () => viewer.call<RolloutView>("GET", `/v1/rollouts/${second}`),
    ({ state }) => state === "done",
  );
  expect(done).toMatchObject({ waves: 0, summary: "no site gets anything else" });
});

it("an aborted rollout puts its site back, and nothing of it is in force", async () => {
  await using central = await startTestCentral();
  const engineer = await signIn(central.url, byKey(central.url, central.adminToken), "emil", ["engineer"]);
  const gateway = await central.addSite("a");
  await gateway.hello();
  const gateways = new Map([["a", gateway]]);
  const first = await rolloutOf(engineer, await roll(engineer, "first", ["a"], { strategy }));
  const state = async (number: number) => (await engineer.call<RolloutView>("GET", `/v1/rollouts/${number}`)).state;
  await runDesired(central, gateways, async () => (await state(first)) === "done");
  const change = await roll(engineer, "second", ["a"], { strategy: { ...strategy, gate: { window: "1h", settle: "1h" } } });
  const number = await rolloutOf(engineer, change);
  await runDesired(central, gateways, async () => (await reported(central)) === 2);
  // the key of the data folder may stop what it did not start
  const cli = (...args: string[]) =>
    plantgateHere(["rollout", ...args, "--central", central.url, "--token-file", join(central.dataDir, "admin.token")], {
      cwd: central.dataDir,
    });
  expect(await cli("abort", String(number))).toMatchObject({ code: 1, err: expect.stringContaining("say why") });
  expect((await cli("pause", String(number), "--reason", "look")).out).toContain(`rollout ${number}  paused`);
  expect((await cli("resume", String(number))).out).toContain(`rollout ${number}  running  1 watched`);
  expect((await cli("abort", String(number), "--reason", "wrong plant")).code).toBe(0);
  await runDesired(central, gateways, async () => (await state(number)) === "aborted");
  expect(await reported(central)).toBe(1);
  expect(await engineer.call("GET", `/v1/changes/${change}`)).toMatchObject({
    state: "aborted",
    reason: "wrong plant (admin-token)",
  });
  const status = await cli("status", String(number), "--watch", "-o", "json");
  expect(status.code).toBe(1);
  expect(JSON.parse(status.out)).toMatchObject({ number, state: "aborted", summary: "1 put back" });
  expect((await cli("list")).out).toMatch(/ aborted +1 put back[\s\S]* done +1 done/);
  expect((await cli("list", "--environment", "prod")).out).toBe("none\n");
});

async function roll(who: Caller, purpose: string, sites: readonly string[], options: object): Promise<number> {
  const files = sites.flatMap((site) =>
    siteDocuments({ site, labels: { environment: "dev" } }).map(({ name, text }) => ({
      name: `${site}-${name}`,
      text: text.replaceAll('"purpose":"test"', `"purpose":"${purpose}"`).replaceAll('"in/#"', `"${purpose}/#"`),
    })),
  );
  const body = { title: purpose, environment: "dev", files, ...options };
  const { number } = await who.call<{ number: number }>("POST", "/v1/changes", body);
  await who.call("POST", `/v1/changes/${number}/submit`, {});
  return number;
}

async function rolloutOf(who: Caller, change: number): Promise<number> {
  const found = await eventually(
    () => who.call<{ rollout: number | null }>("GET", `/v1/changes/${change}`),
    ({ rollout }) => rollout !== null,
  );
  return found.rollout ?? 0;
}

/** Gateways take what is desired and say so, until something is so. */
async function runDesired(
  central: TestCentral,
  gateways: ReadonlyMap<string, TestGateway>,
  done: () => Promise<boolean>,
): Promise<void> {
  await eventually(
    async () => {
      const { body } = await central.admin<{ sites: { name: string; desiredRevision: number }[] }>("GET", "/v1/sites");
      for (const { name, desiredRevision } of body.sites)
        await gateways
          .get(name)
          ?.status({ startedAt: "2026-01-31T08:00:00.000Z", configuration: { reported: desiredRevision, state: "active" } });
      return done();
    },
    (is) => is,
  );
}

async function reported(central: TestCentral): Promise<number | undefined> {
  const { body } = await central.admin<{ sites: { reportedRevision: number }[] }>("GET", "/v1/sites");
  return body.sites[0]?.reportedRevision;
}
