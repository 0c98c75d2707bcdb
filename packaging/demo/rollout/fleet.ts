import { randomUUID } from "node:crypto";
import { connect, type MqttClient } from "mqtt";
import { type RunningGateway, startGateway } from "../../../gateway/gateway.ts";
import { gatewaySettings } from "../../../gateway/settings/schema.ts";
import { describeError } from "../../../protocol/index.ts";
import { terminalSecret, topic } from "./configuration.ts";
import { type AgentPlan, order, type Told } from "./messages.ts";

/**
 * A process of the fleet: some gateways, whole, each with its own data folder, queue and agent, and beside each a terminal that reports good
 * pieces over MQTT once a second. It does what its parent says, and ends with it.
 */
interface Member {
  readonly plan: AgentPlan;
  gateway: RunningGateway | undefined;
  readonly terminal: MqttClient;
  connects: number;
  acknowledged: number;
  reports: number;
}
const members = new Map<string, Member>();
const reportEveryMs = 1000;

function tell(message: Told): void {
  process.send?.(message);
}

function join(plan: AgentPlan): Member {
  const terminal = connect(`mqtt://127.0.0.1:${plan.floorPort}`, {
    protocolVersion: 4,
    username: "terminal",
    password: terminalSecret,
    clientId: `terminal-${plan.site}`,
    reconnectPeriod: 1000,
    // what cannot be sent now is not kept: a terminal's screen shows that
    queueQoSZero: false,
  });
  const member: Member = { plan, gateway: undefined, terminal, connects: 0, acknowledged: 0, reports: 0 };
  terminal.on("connect", () => {
    member.connects += 1;
  });
  terminal.on("error", () => {});
  members.set(plan.site, member);
  return member;
}

async function start(plan: AgentPlan, central: string): Promise<void> {
  const member = members.get(plan.site) ?? join(plan);
  const { site, dataDir, centralKeyFile } = plan;
  const settings = gatewaySettings.parse({ site, dataDir, centralKeyFile, centralUrl: central, port: 0, logLevel: "warn" });
  const gateway = await startGateway(settings);
  gateway.failed.catch((error: unknown) => fail(site, error));
  member.gateway = gateway;
  tell({ kind: "started", site });
}

async function stop(site: string): Promise<void> {
  const member = members.get(site);
  await member?.gateway?.stop();
  if (member) member.gateway = undefined;
  tell({ kind: "stopped", site });
}

/** An agent that cannot go on ends the whole process: the demo says which, and where its log is. */
function fail(site: string, error: unknown): void {
  process.stderr.write(`${site}: ${describeError(error)}\n`);
  process.exit(1);
}

function report(): void {
  for (const member of members.values()) {
    if (!member.terminal.connected) continue;
    const { site } = member.plan;
    member.reports += 1;
    const payload = {
      ...{ txn: randomUUID(), order: `${site}-mo-${Math.ceil(member.reports / 20)}`, item: "FG-HSG", lot: "B-117" },
      ...{ good: "5", uom: "C62", at: new Date().toISOString() },
    };
    member.terminal.publish(topic, JSON.stringify(payload), { qos: 1 }, (error) => {
      if (!error) member.acknowledged += 1;
    });
  }
}

process.on("message", (message) => {
  const asked = order.parse(message);
  if (asked.kind === "count") {
    const agents = [...members.values()].map(({ plan, connects, acknowledged }) => ({
      ...{ site: plan.site, terminalConnects: connects, acknowledged },
    }));
    tell({ kind: "counted", agents });
  } else if (asked.kind === "stop") for (const site of asked.sites) stop(site).catch((error: unknown) => fail(site, error));
  else void startAll(asked.agents, asked.central);
});

/** One after the other: each opens a queue and two worker threads. */
async function startAll(plans: readonly AgentPlan[], central: string): Promise<void> {
  for (const plan of plans) await start(plan, central).catch((error: unknown) => fail(plan.site, error));
}

async function end(): Promise<void> {
  await Promise.all(
    [...members.values()].map(({ gateway, terminal }) => Promise.all([gateway?.stop(), terminal.endAsync(true)])),
  );
  process.exit(0);
}
process.once("SIGTERM", () => void end());
process.once("disconnect", () => void end());
setInterval(report, reportEveryMs);
