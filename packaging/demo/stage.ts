import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type CentralApi, openCentral } from "./central-api.ts";
import { type LinkProxy, startLinkProxy } from "./link-proxy.ts";
import { freePorts } from "./ports.ts";
import { Processes, type Program } from "./processes.ts";
import {
  type ErpSettings,
  type ErpStatus,
  erpStatus,
  type PlantSettings,
  type PlantStatus,
  plantStatus,
  ready,
} from "./simulators/messages.ts";
import { filesOf, writeConfiguration } from "./site-documents.ts";
import type { RunPlan } from "./verifier/run-plan.ts";

export const plants = [
  { site: "lyon", warehouse: "LYO", digit: 1 },
  { site: "porto", warehouse: "POR", digit: 2 },
] as const;
export type PlantName = (typeof plants)[number]["site"];
const erpSite = "hq";

export interface StageOptions {
  readonly folder: string;
  readonly port: number;
  readonly ordersPerSecond: number;
  readonly devicesPerPlant: number;
  readonly samplesPerSecond: number;
  /** Called with what is being done, for a person who waits. */
  readonly tell: (sentence: string) => void;
}

/** Central, three gateways and the systems around them, running. */
export interface Stage {
  readonly central: CentralApi;
  readonly tokenFile: string;
  /** Lyon's way to central. */
  readonly link: LinkProxy;
  /** Rejects when a program ended by itself. */
  readonly failed: Promise<never>;
  readonly pids: Readonly<Record<string, number>>;
  plantStatus(site: PlantName): PlantStatus | undefined;
  erpStatus(): ErpStatus | undefined;
  /** Orders and samples begin. */
  run(): void;
  /** No new orders and samples; what is under way is finished. */
  quiet(): void;
  /** Kills the gateway of a site with SIGKILL. @returns the process id that it had */
  killGateway(site: PlantName): Promise<number>;
  /** @returns the process id that it has now */
  startGateway(site: string): number;
  gatewayFolder(site: string): string;
  /** What the verifier needs to know of this run. */
  runPlan(until: Date): RunPlan;
  /** Ends every program, within 4 s. Safe to call twice. */
  stop(): Promise<void>;
}

const cli = join(import.meta.dirname, "../cli/launch.mjs");
const simulator = (name: string): string => join(import.meta.dirname, "simulators", name);

export async function startStage(options: StageOptions, signal: AbortSignal): Promise<Stage> {
  const { folder, tell } = options;
  const processes = new Processes(join(folder, "logs"));
  const centralData = join(folder, "central");
  const tokenFile = join(centralData, "admin.token");
  const url = `http://127.0.0.1:${options.port}`;
  const link = await startLinkProxy({ target: url });
  const stop = async (): Promise<void> => {
    await processes.stop(["central"]);
    await link.stop();
  };
  try {
    tell("starting central");
    processes.start("central", [cli, "central", "--data", centralData, "--port", String(options.port), "--log-level", "info"]);
    const central = openCentral(
      url,
      await centralToken(url, tokenFile, AbortSignal.any([signal, AbortSignal.timeout(30_000)]), processes.failed),
    );

    tell("starting the ERP, the warehouses, schedulers, presses, terminals and devices");
    const ports = await freePorts(2 + plants.length * 6);
    const port = (): number => ports.pop() ?? 0;
    const apiKey = secret();
    const company = startCompany({ processes, options, apiKey, port: port() });
    const gatewayPorts: Record<string, number> = { [erpSite]: port() };
    const systems = plants.map((plant) => {
      const gatewayPort = port();
      gatewayPorts[plant.site] = gatewayPort;
      return startPlant({ processes, options, plant, gatewayPort, ports: [port(), port(), port(), port(), port()] });
    });
    const statuses = new Map<string, PlantStatus>();
    let erp: ErpStatus | undefined;
    company.program.onMessage((message) => {
      erp = erpStatus.safeParse(message).data ?? erp;
    });
    for (const { settings, program } of systems) {
      program.onMessage((message) => {
        const status = plantStatus.safeParse(message).data;
        if (status) statuses.set(settings.site, status);
      });
    }
    const [{ url: erpUrl }] = await Promise.all([company.ready, ...systems.map((system) => system.ready)]);

    tell("registering the sites and pushing their configuration");
    const configuration = join(folder, "config");
    writeConfiguration(configuration, {
      [erpSite]: { erpUrl, odooDatabase: company.settings.database, pollEvery: "2s" },
      ...Object.fromEntries(systems.map(({ settings }) => [settings.site, parametersOf(settings)])),
    });
    const secrets: Record<string, Record<string, string>> = {
      [erpSite]: { odoo: apiKey },
      ...Object.fromEntries(systems.map(({ settings }) => [settings.site, settings.secrets])),
    };
    const gatewayFolder = (site: string): string => join(folder, "gateways", site);
    const signingKeyFile = join(folder, "central.pub");
    for (const site of Object.keys(secrets)) {
      const data = gatewayFolder(site);
      const { stdout } = await promisify(execFile)(process.execPath, [cli, "key", "--data", data]);
      const { signingKey } = await central.addSite(site, stdout);
      writeFileSync(signingKeyFile, signingKey);
      for (const [name, value] of Object.entries(secrets[site] ?? {})) await central.setSecret(site, name, value);
      await central.push(site, filesOf(configuration, site));
    }

    tell("starting the gateways of hq, lyon and porto");
    const gateways = new Map<string, Program>();
    const startGateway = (site: string): number => {
      const program = processes.start(`gateway-${site}`, [
        cli,
        "gateway",
        ...["--data", gatewayFolder(site)],
        ...["--site", site],
        ...["--central", site === "lyon" ? link.url : url],
        ...["--central-key", signingKeyFile],
        ...["--http-port", String(gatewayPorts[site] ?? 0)],
        ...["--log-level", "info"],
      ]);
      gateways.set(site, program);
      return program.pid;
    };
    for (const site of Object.keys(secrets)) startGateway(site);

    return {
      central,
      tokenFile,
      link,
      failed: processes.failed,
      get pids() {
        return Object.fromEntries([...gateways].map(([site, { pid }]) => [site, pid]));
      },
      plantStatus: (site) => statuses.get(site),
      erpStatus: () => erp,
      run: () => company.program.tell({ kind: "run" }),
      quiet: () => {
        company.program.tell({ kind: "quiet" });
        for (const { program } of systems) program.tell({ kind: "quiet" });
      },
      killGateway: async (site) => {
        const program = gateways.get(site);
        await program?.kill();
        return program?.pid ?? 0;
      },
      startGateway,
      gatewayFolder,
      runPlan: (until) => ({
        erp: { site: erpSite, file: company.settings.logFile },
        plants: systems.map(({ settings, warehouse }) => ({
          site: settings.site,
          warehouse,
          wms: join(settings.folder, "wms.jsonl"),
          terminals: join(settings.folder, "terminals.jsonl"),
          devices: join(settings.folder, "devices.jsonl"),
          scheduler: join(settings.folder, "scheduler.jsonl"),
          presses: settings.presses.map(({ name }) => ({ name, file: join(settings.folder, `${name}.jsonl`) })),
        })),
        pressItems: ["Strokes", "Temp"],
        until: until.toISOString(),
      }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Empties the folder of an earlier run; refuses one that does not look like the demo's. */
export function emptyFolder(folder: string): void {
  if (existsSync(folder) && !existsSync(join(folder, marker))) {
    throw new Error(
      `${relative(process.cwd(), folder) || folder} exists and was not made by the demo; name another folder with --data`,
    );
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, marker), "Everything in this folder belongs to the demo, which empties it at its next start.\n");
}
const marker = "DEMO";

function secret(): string {
  return randomBytes(18).toString("base64url");
}

async function centralToken(url: string, file: string, signal: AbortSignal, failed: Promise<never>): Promise<string> {
  for (;;) {
    if (existsSync(file)) {
      const token = readFileSync(file, "utf8").trim();
      const answer = await fetch(`${url}/v1/sites`, { headers: { authorization: `Bearer ${token}` }, signal }).catch(
        () => undefined,
      );
      await answer?.arrayBuffer();
      if (answer?.ok) return token;
    }
    await Promise.race([sleep(100, undefined, { signal }), failed]);
  }
}

function startCompany({
  processes,
  options,
  apiKey,
  port,
}: {
  processes: Processes;
  options: StageOptions;
  apiKey: string;
  port: number;
}) {
  const settings: ErpSettings = {
    port,
    apiKey,
    database: "plant",
    logFile: join(options.folder, "systems", "erp.jsonl"),
    plants: plants.map(({ site, warehouse }) => ({ site, warehouse })),
    ordersPerSecond: options.ordersPerSecond,
  };
  const program = processes.start("erp", [simulator("company.ts"), JSON.stringify(settings)]);
  return { program, settings, ready: program.message((message) => ready.safeParse(message).data) };
}

function startPlant(given: {
  processes: Processes;
  options: StageOptions;
  plant: (typeof plants)[number];
  gatewayPort: number;
  ports: readonly [number, number, number, number, number];
}) {
  const { processes, options, plant, gatewayPort } = given;
  const [wmsPort, schedulerPort, floorPort, pressPort, otherPressPort] = given.ports;
  const settings: PlantSettings = {
    site: plant.site,
    plantDigit: plant.digit,
    folder: join(options.folder, "systems", plant.site),
    wmsPort,
    schedulerPort,
    floorUrl: `mqtt://127.0.0.1:${floorPort}`,
    webhookUrl: `http://127.0.0.1:${gatewayPort}/in/scheduler/schedule`,
    presses: [
      { name: "press-1", port: pressPort },
      { name: "press-2", port: otherPressPort },
    ],
    secrets: { wms: secret(), terminal: secret(), devices: secret(), scheduler: secret() },
    devices: options.devicesPerPlant,
    samplesPerSecond: options.samplesPerSecond,
  };
  const program = processes.start(`systems-${plant.site}`, [simulator("plant.ts"), JSON.stringify(settings)]);
  return { program, settings, warehouse: plant.warehouse, ready: program.message((message) => ready.safeParse(message).data) };
}

function parametersOf({ wmsPort, schedulerPort, floorUrl, presses }: PlantSettings): Record<string, unknown> {
  return {
    wmsUrl: `mqtt://127.0.0.1:${wmsPort}`,
    schedulerUrl: `http://127.0.0.1:${schedulerPort}`,
    floorPort: Number(new URL(floorUrl).port),
    presses: presses.map(({ name, port }) => ({ name, endpoint: `opc.tcp://127.0.0.1:${port}` })),
  };
}
