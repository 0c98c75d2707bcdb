import { existsSync, writeFileSync } from "node:fs";
import { cp, symlink } from "node:fs/promises";
import { join } from "node:path";
import { version } from "../../../gateway/version.ts";
import { project } from "../../../packaging/package/workspace.ts";
import { CentralSide } from "../central.ts";
import { payloadOf } from "../documents.ts";
import { must } from "../programs.ts";
import { allRecorded } from "../steps/recorded.ts";
import { expect, openSteps } from "../steps.ts";
import { until } from "../wait.ts";
import { image, makeBases, makeImage } from "./images.ts";
import { inspect, podman, tryPodman, volumeFolder } from "./podman.ts";

const [folder = ""] = process.argv.slice(2);
const { step, note } = openSteps("");
const centralUrl = "http://127.0.0.1:8420";
const network = "plant";
/** Messages that the gateway answered with 2xx. */
let acknowledged = 0;

try {
  await step("images of Debian and PostgreSQL, which a registry would have", makeBases);
  await step("the image is built", makeImage);
  await runCentral();
  const central = await step("central is reached at the port that it publishes", reachCentral);
  await runGateway(central);
  await restart(central);
  await podman("rm", "-fa");
  await compose();
  const bytes = Number(await podman("image", "inspect", "--format", "{{.Size}}", image));
  process.stdout.write(`${JSON.stringify({ imageMiB: Math.round(bytes / 1024 ** 2) })}\n`);
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
  for (const name of (await podman("ps", "-a", "--format", "{{.Names}}")).split("\n").filter(Boolean)) {
    const { out, err } = await tryPodman("logs", "--tail", "15", name);
    process.stderr.write(`--- ${name}\n${out}${err}`);
  }
  process.exitCode = 1;
} finally {
  await tryPodman("rm", "-fa");
}

async function runCentral(): Promise<void> {
  await step("central runs: nobody of this machine, no capability, nothing to write to but its volume", async () => {
    await podman("network", "create", network);
    await podman(...container("central", { volume: "central", more: ["-d", "-p", "127.0.0.1:8420:8420"] }));
    await isHealthy("central");
    await mayLittle("central");
  });
}

async function reachCentral(): Promise<CentralSide> {
  const tokenFile = join(await volumeFolder("central"), "admin.token");
  const central = new CentralSide({ url: "http://central:8420", peopleUrl: centralUrl, tokenFile });
  expect((await central.call<{ sites: unknown[] }>("GET", "/v1/sites")).sites.length === 0, "it knows no site");
  return central;
}

interface ContainerOptions {
  readonly volume: string;
  readonly more: readonly string[];
  /** None: the image's own. */
  readonly command?: readonly string[];
}

/** As packaging/container/README.md says it. */
function container(name: string, { volume, more, command = [] }: ContainerOptions): string[] {
  const hardened = ["--read-only", "--cap-drop", "all", "--network", network, "-v", `${volume}:/var/lib/plantgate`];
  return ["run", "--name", name, ...hardened, ...more, image, ...command];
}

/** The same each time: what is kept is the volume's. */
function startGateway(): Promise<string> {
  const more = ["-d", "--restart", "unless-stopped", "-e", "PLANTGATE_PORT=8430", "-p", "127.0.0.1:8430:8430"];
  const command = ["gateway", "--data", "/var/lib/plantgate", "--host", "0.0.0.0"];
  return podman(...container("gateway", { volume: "lyon", more, command }));
}

async function runGateway(central: CentralSide): Promise<void> {
  await step("a gateway enrolls and runs beside it", async () => {
    const token = await central.makeSite();
    const command = ["enroll", "--data", "/var/lib/plantgate", "--central", central.url, "--token", token];
    const enrolling = tryPodman(...container("enroll", { volume: "lyon", more: ["--rm"], command }));
    await central.confirmKey(enrolling);
    const { code, out, err } = await enrolling;
    expect(code === 0, "enroll ends well", out + err);
    await startGateway();
    await isHealthy("gateway");
    await mayLittle("gateway");
  });
  await step("configured; 20 messages to the port that it publishes are recorded at central", async () => {
    await central.configure();
    await send(20);
    await allRecorded({ central, warehouse: { acknowledged } });
  });
  await step("doctor finds nothing wrong in it", async () => {
    const { code, out } = await tryPodman("exec", "gateway", "plantgate", "doctor", "--data", "/var/lib/plantgate");
    expect(code === 0, "no fault", out);
  });
}

async function restart(central: CentralSide): Promise<void> {
  await step("central ends by SIGTERM, with 0; 20 messages more wait", async () => {
    await podman("stop", "--time", "30", "central");
    const { State } = await inspect("central");
    expect(State.ExitCode === 0, "it ends with 0", State);
    await send(20);
  });
  await step("the gateway is killed; the engine starts it again, and what it does not answer is not healthy", async () => {
    // not by the engine: what that ends is meant to stay ended
    await signal("gateway", "SIGKILL");
    await until(
      () => inspect("gateway"),
      ({ RestartCount, State }) => RestartCount === 1 && State.Status === "running",
    );
    await isHealthy("gateway");
    await signal("gateway", "SIGSTOP");
    const { code } = await tryPodman("healthcheck", "run", "gateway");
    expect(code === 1, "the health check fails", code);
    await signal("gateway", "SIGCONT");
    await send(20);
  });
  await step("another container of the gateway's volume goes on; central is back, and has all of it", async () => {
    await podman("rm", "-f", "--time", "60", "gateway");
    await startGateway();
    await podman("start", "central");
    await isHealthy("central");
    await isHealthy("gateway");
    await send(20);
    await allRecorded({ central, warehouse: { acknowledged } });
  });
}

/** As somebody who follows its first lines: the folder as it is, and .env beside it. */
async function compose(): Promise<void> {
  const place = join(folder, "compose/packaging/container");
  const compose = (...args: string[]): Promise<string> => must(["podman-compose", "-p", "plantgate", ...args], { cwd: place });
  await step("compose.yaml: the image is built by it, central with PostgreSQL comes up", async () => {
    await cp(join(project, "packaging/container"), place, { recursive: true });
    writeFileSync(join(place, ".env"), `PLANTGATE_VERSION=${version}\nPLANTGATE_DB_PASSWORD=of-this-test-alone\n`);
    await symlink(join(project, "out"), join(folder, "compose/out"));
    // in OCI's format: what asks whether it is healthy is compose.yaml's
    await compose("build");
    await compose("up", "-d");
    await isHealthy("plantgate_database_1");
    // this podman-compose does not wait for the database: central ends, and is started again
    await isHealthy("plantgate_central_1");
    const { HostConfig, RestartCount } = await inspect("plantgate_central_1");
    note(`central was started again ${RestartCount} times`);
    expect(HostConfig.Memory === 3 * 1024 ** 3, "its memory is bounded", HostConfig.Memory);
    expect(HostConfig.SecurityOpt.includes("no-new-privileges"), "it gets no new privileges", HostConfig.SecurityOpt);
    await mayLittle("plantgate_central_1");
    const { out, err } = await tryPodman("logs", "plantgate_central_1");
    expect(/"database":"postgres:\/\/[^"]*database\/plantgate"/.test(out + err), "its ledger is PostgreSQL's", out + err);
    expect(!(out + err).includes("of-this-test-alone"), "the password is in no log");
  });
  await step("down and up again: the ledger and the keys are what they were", async () => {
    const incarnation = await incarnationOf();
    const token = join(await volumeFolder("plantgate_central"), "admin.token");
    expect(existsSync(token), "the keys are in the volume");
    await compose("down");
    await compose("up", "-d");
    await isHealthy("plantgate_central_1");
    expect((await incarnationOf()) === incarnation, "the same ledger");
    await compose("down");
  });
}

async function signal(name: string, which: NodeJS.Signals): Promise<void> {
  process.kill((await inspect(name)).State.Pid, which);
}

async function incarnationOf(): Promise<string> {
  const answer = await fetch(`${centralUrl}/health`);
  return ((await answer.json()) as { incarnation: string }).incarnation;
}

/** By the check that the image brings, or compose.yaml. */
async function isHealthy(name: string): Promise<void> {
  await until(
    () => tryPodman("healthcheck", "run", name),
    ({ code }) => code === 0,
  );
}

async function mayLittle(name: string): Promise<void> {
  const status = await podman("exec", name, "cat", "/proc/1/status");
  expect(/^Uid:\s+10001\s+10001\s/m.test(status), "it is nobody of this machine", status);
  for (const kind of ["CapEff", "CapPrm", "CapBnd"])
    expect(new RegExp(`^${kind}:\\s+0+$`, "m").test(status), `no ${kind}`, status);
  const { ReadonlyRootfs } = (await inspect(name)).HostConfig;
  const written = await tryPodman("exec", name, "touch", "/opt/plantgate/x", "/etc/x");
  expect(ReadonlyRootfs && written.code !== 0, "its root file system is read-only", written.out);
}

async function send(count: number): Promise<void> {
  for (const last = acknowledged + count; acknowledged < last; ) {
    const answer = await fetch("http://127.0.0.1:8430/in/hooks/shortages", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: payloadOf(acknowledged + 1),
      signal: AbortSignal.timeout(10_000),
    }).catch(() => undefined);
    if (answer?.ok) acknowledged++;
  }
}
