import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import {
  type ConnectorConfig,
  type ConnectorReport,
  type Finding,
  fault,
  listenerAt,
  ok,
  unchecked,
  warning,
} from "../../protocol/index.ts";
import { authorityOver, isOutOfDate } from "./dates.ts";
import type { Facts } from "./facts.ts";
import { type Address, isDateObjection, isForAnother, lookAt } from "./look.ts";
import { askSystem } from "./systems.ts";

/** What came of looking at a connector's system; no session was begun there, as that would end the gateway's own. */
export interface ConnectorProbe {
  readonly finding: Finding;
  readonly certificate?: X509Certificate;
}

const wrongName = "ERR_TLS_CERT_ALTNAME_INVALID";
const ports: Record<string, number> = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443, http: 80, https: 443, "opc.tcp": 4840 };
const tls = new Set(["mqtts", "wss", "https"]);

/** Where a connector calls; undefined for one that is only called. */
export function addressOf(config: ConnectorConfig): (Address & { readonly path: string }) | undefined {
  if (config.type === "mqtt-broker") return undefined;
  const text = config.type === "opcua" ? config.endpoint : config.url;
  if (text === undefined) return undefined;
  const scheme = text.slice(0, text.indexOf("://"));
  // the parser knows ports and hosts of http alone
  const plain = text.replace(/^[a-z.]+:/, "http:");
  if (!URL.canParse(plain)) return undefined;
  const url = new URL(plain);
  const written = /^[a-z.]+:\/\/(?:[^/@]*@)?(?:\[[^\]]*\]|[^:/]*):(\d+)/i.exec(text)?.[1];
  return {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(written ?? ports[scheme]),
    secure: tls.has(scheme),
    path: url.pathname,
  };
}

/** The first thing that is wrong with it, from its name to what the running gateway says of it. */
export async function probeConnector(facts: Facts, name: string): Promise<ConnectorProbe> {
  const config = (await facts.bundle())?.connectors[name]?.config;
  // what the gateway that runs says of it needs no configuration on disk
  if (!config) return { finding: await said(facts, name, "its address is not known here") };
  const secret = await missingSecret(facts, name);
  const address = addressOf(config);
  if (!address) return { finding: secret ?? (await squatted(facts, config, name)) ?? (await said(facts, name)) };
  if (isIP(address.host) === 0 && !(await facts.resolves(address.host)))
    return { finding: unchecked(`the name ${address.host} does not resolve`, name) };
  const where = `${address.host}:${address.port}`;
  const ca = facts.place.authorities;
  const seen = await lookAt(address, ca === undefined ? {} : { ca });
  if (seen.kind === "closed")
    return {
      finding: fault(
        `${where} is not reached: ${seen.reason}`,
        "Does that system run, is the address right, and does a firewall let this machine through?",
        name,
      ),
    };
  const { socket, certificate, objection } = seen;
  const shown = certificate === undefined ? {} : { certificate };
  try {
    if (certificate && isOutOfDate(certificate, await facts.trueNow()))
      return { finding: unchecked("its certificate is out of date", name), ...shown };
    if (certificate && isDateObjection(objection))
      return {
        finding: isForAnother(certificate, address.host)
          ? fault(`${where}: its certificate is not trusted: ${wrongName}`, adviceOn(wrongName), name)
          : (await facts.isClockRight())
            ? fault(`${where}: ${authorityOver}`, adviceOn(authorityOver), name)
            : unchecked("by this machine's clock its certificate, or an authority in its chain, is out of date", name),
        ...shown,
      };
    const report = await reportOf(facts, name);
    // which authorities its process trusts beside the runtime's, that process alone can tell
    if (objection !== undefined && objection !== wrongName && report === undefined)
      return {
        finding: unchecked(`${where} answers; whether its certificate is trusted, the gateway tells when it runs`, name),
        ...shown,
      };
    // that it ends soon is of no interest while nobody trusts it
    if (objection !== undefined && !isWell(report))
      return { finding: fault(`${where}: its certificate is not trusted: ${objection}`, adviceOn(objection), name) };
    const problem = await askSystem(config, socket);
    if (problem && !(report && problem.unless.includes(report.state)))
      return { finding: fault(`${where}: ${problem.seen}`, problem.advice, name), ...shown };
    return { finding: secret ?? (await said(facts, name, `${where} answers`)), ...shown };
  } finally {
    socket.destroy();
  }
}

/** Whoever has the port of a broker of our own is named with the ports. */
async function squatted(facts: Facts, config: ConnectorConfig, name: string): Promise<Finding | undefined> {
  if (config.type !== "mqtt-broker") return undefined;
  const running = await facts.running();
  if (running.kind !== "running") return undefined;
  const { host, port } = config;
  const holder = listenerAt(facts.place.listeners, { host, port, own: running.pid })?.pid;
  if (holder === undefined || holder === running.pid) return undefined;
  return unchecked(`another process has its port ${config.port}`, name);
}

function isWell(report: ConnectorReport | undefined): boolean {
  return report?.state === "up" || report?.state === "degraded";
}

function adviceOn(objection: string): string {
  if (objection === wrongName)
    return "It is made for another name: is the address right? Else that system needs a certificate for the name by which it is called";
  if (objection === authorityOver)
    return "Renew that authority, or what lies between it and the certificate, at that system; a new one of the plant has to stand in the file that NODE_EXTRA_CA_CERTS names";
  return "The plant's authority has to be known to the gateway's process: NODE_EXTRA_CA_CERTS names a file with it";
}

/** One that misses a secret does not work, and the check of secrets says so. */
async function missingSecret(facts: Facts, name: string): Promise<Finding | undefined> {
  const secrets = await facts.secrets();
  const config = JSON.stringify((await facts.bundle())?.connectors[name]?.config ?? {});
  if (!secrets.known) return undefined;
  for (const [secret, values] of secrets.value.values)
    if ((values === undefined || values[0] === "") && config.includes(JSON.stringify({ secret })))
      return unchecked(`its secret ${secret} is missing`, name);
  return undefined;
}

async function reportOf(facts: Facts, name: string): Promise<ConnectorReport | undefined> {
  const running = await facts.running();
  return running.kind === "running" ? running.status?.connectors.find((each) => each.name === name) : undefined;
}

/** What the running gateway says of it, where nothing else is wrong. */
async function said(facts: Facts, name: string, seen = "it is only called"): Promise<Finding> {
  const report = await reportOf(facts, name);
  const running = await facts.running();
  if (running.kind === "stopped") return ok(`${seen}; the gateway does not run`, name);
  if (!report) return ok(`${seen}; what the gateway says of it is not known`, name);
  const { state, reason = "it does not say why" } = report;
  if (state === "down" || state === "stopped")
    return fault(
      `${seen}, yet the gateway says that it is ${state}: ${reason}`,
      "What the system says of it, its own log tells as well",
      name,
    );
  if (state === "degraded" && (await facts.diskIsFull())) return unchecked("the disk is full, which holds it up", name);
  if (state === "degraded") return warning(`the gateway says that it is degraded: ${reason}`, "Correct what it names", name);
  return ok(`${seen}, and the gateway says that it is ${state}`, name);
}

export async function checkConnectors(facts: Facts): Promise<Finding[]> {
  const [configuration, bundle, running] = await Promise.all([facts.configuration(), facts.bundle(), facts.running()]);
  const reported = running.kind === "running" ? (running.status?.connectors ?? []).map(({ name }) => name) : [];
  const names = bundle ? Object.keys(bundle.connectors) : reported;
  if (names.length === 0) return [unchecked(configuration.known ? "no configuration is in effect yet" : configuration.why)];
  return Promise.all(names.map(async (name) => (await facts.connector(name)).finding));
}
