import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import type { ReleasesAnswer } from "../../central/http/api/releases.ts";
import type { RolloutView } from "../../central/http/api/rollouts.ts";
import { plantgate } from "../support/command.ts";
import { until } from "../support/process.ts";
import { makePackage, releaseKey, type TestPackage } from "../support/releases.ts";
import { type GatewayProcess, openSystem } from "../support/system.ts";
import { UpdatedFolder } from "../support/updated-machine.ts";

const deb = (version: string): string => `plantgate-gateway_${version}_amd64.deb`;

/** Another version of the program: the same one, that says so. */
const otherVersion = `import { registerHooks } from "node:module";
registerHooks({
  load(url, context, next) {
    if (!url.endsWith("/gateway/version.ts")) return next(url, context);
    return { format: "module", shortCircuit: true, source: 'export const version = "0.2.0";' };
  },
});
`;

it("a version goes from central to whole gateways: kept at the first, given back by the second's machine, and taken back from both", async () => {
  await using system = openSystem();
  const central = await system.central();
  const hook = join(system.folder, "other-version.mjs");
  writeFileSync(hook, otherVersion);
  const machines = new Map<string, UpdatedFolder>();
  const gateways = new Map<string, GatewayProcess>();
  const run = (machine: UpdatedFolder, version: string): readonly string[] => [
    "env",
    `PLANTGATE_ROOT=${machine.root}`,
    ...(version === "0.2.0" ? [`NODE_OPTIONS=--import=${pathToFileURL(hook).href}`] : []),
  ];
  for (const site of ["lyon", "porto"]) {
    const machine = new UpdatedFolder(join(system.folder, `machine-${site}`));
    machines.set(site, machine);
    await central.post("/v1/sites", { name: site, environment: "dev" });
    gateways.set(site, await system.gateway(site, central, { dataDir: machine.dataDir, wrapper: run(machine, "0.1.0") }));
  }
  const machineOf = (site: string): UpdatedFolder => machines.get(site) as UpdatedFolder;
  /** What systemd does when the updater has moved `current`. */
  const restart = async (site: string, version: string): Promise<void> => {
    const gateway = gateways.get(site) as GatewayProcess;
    await gateway.process.kill("SIGTERM");
    gateways.set(site, await gateway.restart({ wrapper: run(machineOf(site), version) }));
  };

  const packages = new Map(["0.1.0", "0.2.0"].map((version) => [version, makePackage(deb(version), 700_000)]));
  for (const own of packages.values()) {
    writeFileSync(join(system.folder, own.file), own.bytes);
    writeFileSync(join(system.folder, `${own.file}.sig`), `${own.signature}\n`);
  }
  writeFileSync(join(system.folder, "keys.pem"), releaseKey.publicKey.export({ type: "spki", format: "pem" }));
  const cli = (...args: string[]) =>
    plantgate([...args, "--central", central.url, "--token-file", join(central.dataDir, "admin.token")], { cwd: system.folder });
  const added = await cli("release", "add", deb("0.1.0"), deb("0.2.0"), "--keys", "keys.pem");
  expect(added, added.err).toMatchObject({ code: 0 });
  await until(
    () => central.get<ReleasesAnswer>("/v1/releases"),
    ({ sites }) => sites.every(({ version, installed }) => version === "0.1.0" && installed === "deb"),
  );
  const started = await cli(
    "rollout",
    "start",
    "--release",
    "0.2.0",
    "--environment",
    "dev",
    "--waves",
    "1,100%",
    "--window",
    "1s",
  );
  expect(started, started.err).toMatchObject({ code: 0 });
  const view = (): Promise<RolloutView> => central.get<RolloutView>("/v1/rollouts/1");

  // the first machine keeps it
  await handedOver(machineOf("lyon"), packages.get("0.2.0") as TestPackage);
  machineOf("lyon").beginTrial("0.2.0");
  await restart("lyon", "0.2.0");
  await until(view, ({ plan }) => plan[0]?.sites[0]?.upgrade === "trial");
  expect(machineOf("porto").request).toBeUndefined();
  machineOf("lyon").decide("0.2.0", "kept");
  await until(view, ({ counts }) => counts.healthy === 1);

  // the second goes back by itself
  await handedOver(machineOf("porto"), packages.get("0.2.0") as TestPackage);
  machineOf("porto").beginTrial("0.2.0");
  await restart("porto", "0.2.0");
  machineOf("porto").decide("0.2.0", "rolled-back", "connector wms did not come back");
  await restart("porto", "0.1.0");
  const failed = await until(view, ({ state }) => state === "putting-back" || state === "rolled-back");
  expect(failed.reason).toBe("porto: its gateway gave it back: connector wms did not come back");

  // and so does the first, told by central
  await until(
    () => machineOf("lyon").request,
    (request) => request?.version === "0.1.0",
  );
  expect(machineOf("lyon").request).toMatchObject({ older: true, file: deb("0.1.0") });
  machineOf("lyon").beginTrial("0.1.0", "2026-01-31T09:00:00.000Z");
  await restart("lyon", "0.1.0");
  machineOf("lyon").decide("0.1.0", "kept", "", "2026-01-31T09:01:00.000Z", "2026-01-31T09:00:00.000Z");
  await until(view, ({ state }) => state === "rolled-back");
  expect((await view()).plan.flatMap(({ sites }) => sites.map(({ site, state }) => [site, state]))).toEqual([
    ["lyon", "put-back"],
    ["porto", "put-back"],
  ]);
  // nothing is left behind, and nothing tried again
  await until(
    () => [...machines.values()].flatMap(({ incoming }) => incoming),
    (left) => left.length === 0,
  );
}, 240_000);

async function handedOver(machine: UpdatedFolder, own: TestPackage): Promise<void> {
  await until(
    () => machine.request,
    (request) => request !== undefined,
  );
  expect(machine.readIncoming(own.file).equals(own.bytes)).toBe(true);
  expect(machine.readIncoming(`${own.file}.sig`).toString().trim()).toBe(own.signature);
}
