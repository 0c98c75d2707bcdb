import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Identity } from "../../../gateway/identity/identity.ts";
import type { SitesAnswer, SiteView } from "../central-api.ts";
import { freePorts, isFree } from "../ports.ts";
import { Processes, type Program } from "../processes.ts";
import { headquarters, terminalSecret } from "./configuration.ts";
import { type AgentPlan, type Counted, type Order, type Told, told } from "./messages.ts";
import { byKey, type Caller } from "./people.ts";
import { startWitness, type Witness } from "./witness.ts";

/** Central, the witness before it and a fleet of agents, running. */
export interface RolloutStage {
  readonly url: string;
  readonly admin: Caller;
  readonly witness: Witness;
  readonly agents: readonly AgentPlan[];
  /** Rejects when a program ended by itself. */
  readonly failed: Promise<never>;
  sites(): Promise<ReadonlyMap<string, SiteView>>;
  start(sites: readonly string[]): Promise<void>;
  stopAgents(sites: readonly string[]): Promise<void>;
  /** What the terminals saw. */
  count(): Promise<ReadonlyMap<string, Counted>>;
  stop(): Promise<void>;
}

export interface RolloutStageOptions {
  readonly folder: string;
  readonly agents: number;
  readonly processes: number;
  readonly tell: (sentence: string) => void;
}

/** Starts central and enrols a gateway for each agent; the agents themselves are started by `start`. */
export async function openRolloutStage(options: RolloutStageOptions, signal: AbortSignal): Promise<RolloutStage> {
  const { folder, tell } = options;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const processes = new Processes(join(folder, "logs"));
  let witness: Witness | undefined;
  try {
    const [port = 0] = await freePorts(1);
    const floorPorts = await keptPorts(options.agents);
    const url = `http://127.0.0.1:${port}`;
    tell("starting central");
    const cli = join(import.meta.dirname, "../../cli/launch.mjs");
    const data = join(folder, "central");
    processes.start("central", [cli, "central", "--data", data, "--port", String(port), "--log-level", "warn"]);
    await Promise.race([answers(url, signal), processes.failed]);
    const admin = byKey(url, readFileSync(join(data, "admin.token"), "utf8").trim());
    witness = await startWitness(url);
    await addHeadquarters(folder, admin);
    tell(`registering ${options.agents} sites`);
    const agents: AgentPlan[] = [];
    for (const [index, floorPort] of floorPorts.entries())
      agents.push(await register(admin, folder, `plant-${String(index + 1).padStart(2, "0")}`, floorPort));
    return makeStage({ url, admin, witness, agents, processes, fleet: startFleet(processes, options.processes) });
  } catch (error) {
    await witness?.stop();
    await processes.stop(["central"]);
    throw error;
  }
}

function startFleet(processes: Processes, count: number): Program[] {
  const program = join(import.meta.dirname, "fleet.ts");
  return Array.from({ length: count }, (_, index) => processes.start(`fleet-${index + 1}`, [program]));
}

interface Parts extends Pick<RolloutStage, "url" | "admin" | "witness" | "agents"> {
  readonly processes: Processes;
  readonly fleet: readonly Program[];
}

function makeStage({ processes, fleet, ...stage }: Parts): RolloutStage {
  const { url, admin, witness, agents } = stage;
  const homeOf = (site: string): Program => {
    const home = fleet[agents.findIndex((agent) => agent.site === site) % fleet.length];
    if (!home) throw new Error(`${site} has no process`);
    return home;
  };
  const bySite = (sites: readonly string[]): [Program, string[]][] => [...Map.groupBy(sites, homeOf)];
  const ask = async (sites: readonly string[], kind: "started" | "stopped", orderOf: (own: readonly string[]) => Order) => {
    const open = new Set(sites);
    const done = Promise.withResolvers<void>();
    if (open.size === 0) done.resolve();
    const listen = (message: unknown): void => {
      const answer = parse(message);
      if (answer?.kind !== kind) return;
      open.delete(answer.site);
      if (open.size === 0) done.resolve();
    };
    for (const [program, own] of bySite(sites)) {
      program.onMessage(listen);
      program.tell(orderOf(own));
    }
    await Promise.race([done.promise, processes.failed]);
  };
  return {
    ...stage,
    failed: processes.failed,
    async sites() {
      const answer = await admin.call<SitesAnswer>("GET", "/v1/sites");
      return new Map(answer.sites.map((site) => [site.name, site]));
    },
    start: (sites) =>
      ask(sites, "started", (own) => ({
        kind: "start",
        central: witness.url,
        agents: agents.filter(({ site }) => own.includes(site)),
      })),
    stopAgents: (sites) => ask(sites, "stopped", (own) => ({ kind: "stop", sites: [...own] })),
    async count() {
      const answers = fleet.map((program) => {
        const answer = program.message((message) => {
          const parsed = parse(message);
          return parsed?.kind === "counted" ? parsed.agents : undefined;
        });
        program.tell({ kind: "count" } satisfies Order);
        return answer;
      });
      const all = await Promise.race([Promise.all(answers), processes.failed]);
      return new Map(all.flat().map((each) => [each.site, each]));
    },
    async stop() {
      await processes.stop(["central"]);
      await witness.stop();
    },
    url,
  };
}

/** Free ports below those that systems give to outgoing connections: a broker is started anew on its port, and nobody may have it by then. */
async function keptPorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let port = 20_000 + Math.floor(Math.random() * 10_000); ports.length < count; port++)
    if (await isFree(port)) ports.push(port);
  return ports;
}

function parse(message: unknown): Told | undefined {
  return told.safeParse(message).data;
}

async function answers(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const is = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (is) return;
    await sleep(100, undefined, { signal });
  }
}

/** Its gateway pins central's key, central its. */
async function register(admin: Caller, folder: string, site: string, floorPort: number): Promise<AgentPlan> {
  const dataDir = join(folder, "gateways", site);
  mkdirSync(join(dataDir, "secrets"), { recursive: true, mode: 0o700 });
  writeFileSync(join(dataDir, "secrets", "terminal"), terminalSecret, { mode: 0o600 });
  const { publicPem: publicKey } = Identity.open(dataDir);
  const { signingKey } = await admin.call<{ signingKey: string }>("POST", "/v1/sites", { name: site, publicKey });
  const centralKeyFile = join(dataDir, "central.pem");
  writeFileSync(centralKeyFile, signingKey);
  return { site, dataDir, centralKeyFile, floorPort };
}

async function addHeadquarters(folder: string, admin: Caller): Promise<void> {
  const dataDir = join(folder, "gateways", "hq");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const { publicPem: publicKey } = Identity.open(dataDir);
  await admin.call("POST", "/v1/sites", { name: "hq", publicKey });
  await admin.call("POST", "/v1/sites/hq/revisions", { files: headquarters() });
}
