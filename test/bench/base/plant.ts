import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Document } from "../../../protocol/index.ts";
import { freePort } from "../../support/mosquitto.ts";
import type { RunningProcess } from "../../support/process.ts";
import { until } from "../../support/process.ts";
import { nowMs } from "./child.ts";
import { site } from "./lines.ts";
import type { PlantgateSettings, Workspace } from "./workspace.ts";

/** One central and one gateway, known to each other, neither of them running: each can be started and stopped again and again. */
export interface Plant {
  readonly centralUrl: string;
  readonly gatewayFolder: string;
  readonly token: string;
  startCentral(settings?: PlantgateSettings): Promise<{ readonly process: RunningProcess; readonly listensSince: number }>;
  startGateway(settings?: GatewaySettings): Promise<{ readonly process: RunningProcess; readonly url: string }>;
  /** Waits until the running gateway has adopted its configuration. */
  adopted(): Promise<void>;
  get<Value>(path: string): Promise<Value>;
}

export interface GatewaySettings extends PlantgateSettings {
  /** Another way to central than straight. */
  readonly centralUrl?: string;
  readonly args?: readonly string[];
}

export interface PlantOptions {
  readonly documents: readonly Document[];
  readonly secrets?: Readonly<Record<string, string>>;
  readonly recoveryPointSeconds?: number;
}

/** Makes the plant's folders, registers the site and pushes its configuration; the central that it needs for that has ended on return. */
export async function preparePlant(workspace: Workspace, options: PlantOptions): Promise<Plant> {
  const port = await freePort();
  const centralUrl = `http://127.0.0.1:${port}`;
  const centralFolder = workspace.path("central");
  const gatewayFolder = workspace.path("gateway");
  const centralKey = join(gatewayFolder, "central.pub");
  mkdirSync(join(gatewayFolder, "secrets"), { recursive: true });
  for (const [name, value] of Object.entries(options.secrets ?? {}))
    writeFileSync(join(gatewayFolder, "secrets", name), value, { mode: 0o600 });

  const startCentral: Plant["startCentral"] = async (settings = {}) => {
    const { recoveryPointSeconds } = options;
    // the command line has no word for the recovery point
    const process =
      recoveryPointSeconds === undefined
        ? workspace.plantgate(["central", "--data", centralFolder, "--port", String(port)], settings)
        : workspace.plantgate([JSON.stringify({ dataDir: centralFolder, port, recoveryPointSeconds })], {
            ...settings,
            program: "central",
          });
    await process.logged("central.process.started");
    return { process, listensSince: nowMs() };
  };

  const { process: first } = await startCentral();
  const token = readFileSync(join(centralFolder, "admin.token"), "utf8").trim();
  const call = async <Value>(method: "GET" | "POST", path: string, body?: unknown): Promise<Value> => {
    const answer = await fetch(new URL(path, centralUrl), {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`central answered ${answer.status} to ${path}: ${text.slice(0, 2000)}`);
    return JSON.parse(text) as Value;
  };
  const key = workspace.plantgate(["key", "--data", gatewayFolder]);
  await key.ended;
  const { signingKey } = await call<{ signingKey: string }>("POST", "/v1/sites", {
    name: site,
    publicKey: `${key.output.join("\n")}\n`,
  });
  writeFileSync(centralKey, signingKey);
  const files = options.documents.map((document) => ({ name: `${document.kind}.json`, text: JSON.stringify(document) }));
  await call("POST", `/v1/sites/${site}/revisions`, { files });
  await first.kill("SIGTERM");

  return {
    centralUrl,
    gatewayFolder,
    token,
    startCentral,
    startGateway: async (settings = {}) => {
      const address = settings.centralUrl ?? centralUrl;
      const process = workspace.plantgate(
        [
          ...["gateway", "--site", site, "--data", gatewayFolder, "--central", address, "--central-key", centralKey],
          ...["--http-port", "0"],
          ...(settings.args ?? []),
        ],
        settings,
      );
      const { listener } = (await process.logged("gateway.process.started")) as { listener: string };
      return { process, url: listener };
    },
    adopted: async () => {
      await until(
        () => call<SitesView>("GET", "/v1/sites"),
        ({ sites }) =>
          sites.some((view) => ["active", "watching"].includes(view.configurationState) && view.reportedRevision === 1),
      );
    },
    get: (path) => call("GET", path),
  };
}

interface SitesView {
  readonly sites: readonly { readonly configurationState: string; readonly reportedRevision: number }[];
}
