import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { version } from "../../gateway/version.ts";
import { CentralOutside, type CentralSide } from "../package/central.ts";
import { payloadOf, webhookUrl } from "../package/documents.ts";
import type { Ended } from "../package/programs.ts";
import { expect, openSteps } from "../package/steps.ts";
import { startLinkProxy } from "../support/link-proxy.ts";
import { startPressProcess } from "../support/opcua-server.ts";
import { until } from "../support/process.ts";
import { plantOf } from "./documents.ts";
import { runHost } from "./host.ts";
import { WindowsMachine } from "./machine.ts";
import { Wine } from "./wine.ts";

const brokerPort = 18_831;
/** Node.js looks for thousands of files, and Wine for each in every spelling: half a minute for the OPC UA client alone, on a quiet machine. */
const patienceMs = 300_000;

/** What the Windows archive does under Wine, one step after the other. @throws Error that says which did not hold */
export async function tellStory(folder: string, archive: string): Promise<void> {
  const { step, note } = openSteps("wine");
  mkdirSync(join(folder, "office"));
  await step("the host of the service starts, stops and turns the log, with a central of this machine (Mono)", () =>
    runHost(join(folder, "host"), note),
  );
  await using wine = await step("a Windows, as Wine plays it", () => Wine.make(join(folder, "windows")));
  await using outside = await CentralOutside.start("127.0.0.1", join(folder, "office"));
  const central = outside.side;
  const link = await startLinkProxy({ target: central.url });
  await using _link = { [Symbol.asyncDispose]: () => link.stop() };
  await using press = await startPressProcess();
  const gateway = await step("the archive is laid out as its installer does", () =>
    WindowsMachine.install(wine, "gateway", archive, version),
  );
  let sent = 0;

  await step("plantgate.cmd runs", async () => {
    const { code, out } = await gateway.command("--version");
    expect(code === 0 && out.trim() === version, "it says its version", out);
  });

  await step("enrolled: its key is confirmed at central", async () => {
    const token = await central.makeSite();
    const enrolling = gateway.start("enroll", "--central", link.url, "--token", token);
    await until(
      () => enrolling.err,
      (said) => said.includes("Waiting for that"),
      patienceMs,
    );
    const fingerprint = await central.confirmKey(enrolling.ended.then(() => enrolling.out + enrolling.err));
    const code = await enrolling.ended;
    expect(code === 0 && enrolling.err.includes(fingerprint), "enroll ends well", enrolling.out + enrolling.err);
    expect(
      (enrolling.out + enrolling.err).includes("net start plantgate-gateway"),
      "it names Windows' own way to start it",
      enrolling.out,
    );
  });

  let service = gateway.startService();
  await step("it takes its configuration and a secret, and speaks to a press over OPC UA", async () => {
    await service.host.logged("gateway.process.started");
    await central.cli(["secret", "set", "con"], "planted");
    await central.call("POST", `/v1/sites/${central.site}/revisions`, {
      files: plantOf(central.site, press.endpoint, brokerPort),
    });
    await until(
      () => central.view(),
      ({ configurationState }) => ["active", "watching"].includes(configurationState ?? ""),
      patienceMs,
    );
    await until(
      () => lanes(central),
      ({ telemetry = 0 }) => telemetry > 0,
      patienceMs,
    ).catch((error: unknown) => {
      throw new Error(`${error}\n${service.host.out.slice(-4000)}${service.host.err.slice(-1000)}`);
    });
  });

  await step("messages over HTTP and MQTT reach central", async () => {
    for (let more = 50; more > 0; more -= 1) await post(++sent);
    const client = await connectAsync(`mqtt://127.0.0.1:${brokerPort}`, {
      username: "terminal",
      password: "planted",
      protocolVersion: 4,
    });
    for (let more = 50; more > 0; more -= 1) await client.publishAsync("floor/shortages", payloadOf(++sent), { qos: 1 });
    await client.endAsync();
    await allRecorded();
  });

  await step("a second gateway on its folder is refused", async () => {
    const { code, err } = await gateway.plantgate("gateway", "--http-port", "0");
    expect(code === 1 && err.includes("another gateway runs on the data folder"), "it says why", err);
  });

  await step("doctor, support-bundle, queue depth and upgrade say what is so", async () => {
    const depth = await gateway.plantgate("queue", "depth", "--json");
    expect(depth.code === 0, "the queue is looked into", depth.err);
    await isWell(gateway);
    const bundle = await gateway.plantgate("support-bundle", "--out", "C:\\bundle.tar.gz");
    expect(bundle.code === 0 && existsSync(join(wine.driveC, "bundle.tar.gz")), "the bundle is written", bundle.err);
    const upgrade = await gateway.plantgate("upgrade", "--status");
    expect(upgrade.code === 1 && upgrade.err.includes("install.ps1"), "upgrade names the way of Windows", upgrade.err);
  });

  await step("the link is cut; what is taken meanwhile survives that its processes are killed", async () => {
    link.cut("refused");
    for (let more = 50; more > 0; more -= 1) await post(++sent);
    await wine.killAll();
    service = gateway.startService();
    await service.host.logged("gateway.process.started");
    await until(
      () => post(sent + 1).then(() => true),
      (taken) => taken,
    );
    sent += 1;
    link.restore();
    await allRecorded();
  });

  await step("it stops cleanly when its host closes its input", async () => {
    const code = await service.stop();
    expect(code === 0, "it ends with 0", `${code}: ${service.host.out.slice(-500)}${service.host.err.slice(-500)}`);
  });

  await step("a version that its installer put on trial knows that; a damaged queue is set aside, and it goes on", async () => {
    const trial = {
      version,
      from: "0.0.9",
      starts: 0,
      mostStarts: 3,
      begun: "2026-11-27T08:00:00.000Z",
      watchMs: 1000,
      goesBack: true,
    };
    gateway.note("trial.json", { ...trial, before: { online: true, up: [] } });
    service = gateway.startService();
    await service.host.logged("gateway.trial.passed");
    gateway.forget("trial.json");
    expect((await service.stop()) === 0, "it ends with 0");
    spoil(join(gateway.dataDirHere, "queue.sqlite"));
    service = gateway.startService();
    await service.host.logged("gateway.process.started");
    await post(++sent);
    await allRecorded();
    expect(existsSync(join(gateway.dataDirHere, "damaged")), "the damaged file is kept");
    expect((await service.stop()) === 0, "it ends with 0");
  });

  await step("it stops cleanly when its host is killed, and its gateway moves to another folder", async () => {
    service = gateway.startService();
    await service.host.logged("gateway.process.started");
    await service.host.kill();
    const [data, request, file] = ["C:\\new", "C:\\request.json", "C:\\moved"];
    fine(await gateway.plantgate("gateway", "move-in", "--request", request, "--data", data));
    // the one that lost its host ends by itself
    fine(
      await until(
        () => gateway.plantgate("gateway", "move-out", "--out", file, "--to", request),
        ({ err }) => !err.includes("stop it first: net stop plantgate-gateway"),
        patienceMs,
      ),
    );
    fine(await gateway.plantgate("gateway", "move-in", file, "--data", data));
    const left = await gateway.plantgate("gateway");
    expect(left.code === 2 && left.err.includes("moved"), "the one that left does not start", left.err);
    const moved = gateway.start("gateway", "--data", data);
    await moved.logged("gateway.process.started");
    await post(++sent);
    await allRecorded();
    await moved.kill();
  });

  await step("a central on Windows backs itself up while it runs, and comes back from that", async () => {
    const machine = await WindowsMachine.install(wine, "central", archive, version);
    const office = machine.startService("--port", "0");
    const { url } = (await office.host.logged("central.process.started")) as { url: string };
    const page = await (await fetch(url)).text();
    const script = /src="([^"]+\.js)"/.exec(page)?.[1] ?? "";
    expect(
      (await fetch(new URL(script, url))).headers.get("content-type")?.includes("javascript") === true,
      "the console is served",
      page,
    );
    const file = "C:\\one.backup";
    fine(await machine.plantgate("backup", "--out", file));
    expect((await office.stop()) === 0, "it stops cleanly", office.host.out.slice(-1000) + office.host.err.slice(-1000));
    fine(await machine.plantgate("restore", file, "--replace"));
    const again = machine.startService("--port", "0");
    await again.host.logged("central.process.started");
    await isWell(machine, "--role", "central");
    expect((await again.stop()) === 0, "it stops cleanly");
  });

  await allRecorded();
  note(`${sent} messages of the plant, each once at central`);

  async function post(n: number): Promise<void> {
    await until(
      () => answerTo(n),
      (status) => status >= 200 && status < 300,
      patienceMs,
    );
  }

  async function allRecorded(): Promise<void> {
    const { numbers, losses } = await until(
      () => central.recorded(),
      (said) => said.numbers.length >= sent || said.losses.length > 0,
      patienceMs,
    );
    expect(losses.length === 0, "nothing is lost", losses);
    const wrong = numbers.toSorted((a, b) => a - b).findIndex((n, index) => n !== index + 1);
    expect(wrong === -1 && numbers.length === sent, "every message is there once", { sent, found: numbers.length });
  }
}

async function answerTo(n: number): Promise<number> {
  try {
    const answer = await fetch(webhookUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: payloadOf(n),
      signal: AbortSignal.timeout(10_000),
    });
    await answer.text();
    return answer.status;
  } catch {
    return 0;
  }
}

async function lanes(central: CentralSide): Promise<Record<string, number>> {
  const { lanes: told } = await central.call<{ lanes: { lane: string; recorded: number }[] }>(
    "GET",
    `/v1/completeness?site=${central.site}`,
  );
  return Object.fromEntries(told.map(({ lane, recorded }) => [lane, recorded]));
}

/** A page in the middle of the file holds nothing that SQLite knows. */
function spoil(file: string): void {
  const bytes = readFileSync(file);
  bytes.fill(0x5a, 4096, 8192);
  writeFileSync(file, bytes);
}

function fine({ code, out, err }: Ended): string {
  expect(code === 0, "it ends well", out + err);
  return out;
}

/** Two things are of Wine: it knows no junction, and no service, as the host of that needs .NET. */
async function isWell(machine: WindowsMachine, ...role: readonly string[]): Promise<void> {
  const { out, err } = await machine.plantgate("doctor", "--json", ...role);
  const { findings } = JSON.parse(out) as { findings: { check: string; level: string; seen: string }[] };
  const wrong = findings.filter(
    ({ level, seen }) => level === "fault" && !/^the tree versions.current says|^Windows does not know the service/.test(seen),
  );
  expect(wrong.length === 0, "nothing is wrong", JSON.stringify(wrong) + err);
  const runs = findings.find(({ check }) => check === "process");
  expect(role.length > 0 || runs?.level === "ok", "it sees that the gateway runs", runs);
}
