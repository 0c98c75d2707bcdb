import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Identity } from "../../gateway/identity/identity.ts";
import type { Document } from "../../protocol/index.ts";
import { temporaryFolder } from "./folder.ts";
import { type RunningProcess, startPlantgate, until } from "./process.ts";

/** A central process and its API, with an admin's token. */
export interface CentralProcess {
  readonly process: RunningProcess;
  readonly url: string;
  readonly dataDir: string;
  get<Value>(path: string): Promise<Value>;
  post<Value>(path: string, body?: unknown): Promise<{ status: number; body: Value }>;
  /** Pushes documents as JSON; resolves with the new revision. */
  push(site: string, documents: readonly Document[]): Promise<number>;
}

/** A gateway process, registered at central. */
export interface GatewayProcess {
  readonly process: RunningProcess;
  readonly site: string;
  readonly dataDir: string;
  /** Its local listener. */
  readonly url: string;
  restart(options?: { wrapper?: readonly string[] }): Promise<GatewayProcess>;
}

/** Whole processes on one machine, ended with the test: `await using system = openSystem()`. */
export interface System {
  readonly folder: string;
  central(options?: { port?: number; launcher?: string; wrapper?: readonly string[] }): Promise<CentralProcess>;
  /** Registers the site, writes its secrets and starts its gateway. */
  gateway(
    site: string,
    central: { url: string; dataDir: string },
    options?: {
      secrets?: Record<string, string>;
      launcher?: string;
      wrapper?: readonly string[];
      centralUrl?: string;
      register?: boolean;
      /** Instead of a folder of the test's own. */
      dataDir?: string;
      /** More of the command line. */
      options?: readonly string[];
    },
  ): Promise<GatewayProcess>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function openSystem(): System {
  const folder = temporaryFolder();
  const processes: RunningProcess[] = [];
  const run = (args: readonly string[], options: { launcher?: string; wrapper?: readonly string[] } = {}): RunningProcess => {
    const started = startPlantgate(args, options);
    processes.push(started);
    return started;
  };
  /** As an installed Plantgate prints it; else made here, which needs no process. */
  const printedKey = async (dataDir: string, options: { launcher?: string }): Promise<string> => {
    const key = run(["key", "--data", dataDir], options);
    await key.ended;
    return `${key.output.join("\n")}\n`;
  };
  const system: System = {
    folder: folder.path,
    async central(options = {}) {
      const dataDir = join(folder.path, "central");
      const process = run(["central", "--data", dataDir, "--port", String(options.port ?? 0), "--log-level", "info"], options);
      const { url } = (await process.logged("central.process.started")) as { url: string };
      return { process, url, dataDir, ...api(url, dataDir) };
    },
    async gateway(site, central, options = {}) {
      const dataDir = options.dataDir ?? join(folder.path, "gateways", site);
      mkdirSync(join(dataDir, "secrets"), { recursive: true });
      for (const [name, value] of Object.entries(options.secrets ?? {}))
        writeFileSync(join(dataDir, "secrets", name), value, { mode: 0o600 });
      const keyFile = join(dataDir, "central.pub");
      if (options.register !== false) {
        const publicKey = options.launcher ? await printedKey(dataDir, options) : Identity.open(dataDir).publicPem;
        const answer = await api(central.url, central.dataDir).post<{ signingKey: string }>("/v1/sites", {
          name: site,
          publicKey,
        });
        if (answer.status >= 300) throw new Error(`site add: ${JSON.stringify(answer)}`);
        writeFileSync(keyFile, answer.body.signingKey);
      }
      const start = async (again: { wrapper?: readonly string[] } = {}): Promise<GatewayProcess> => {
        const process = run(
          [
            "gateway",
            "--site",
            site,
            "--data",
            dataDir,
            "--central",
            options.centralUrl ?? central.url,
            "--central-key",
            keyFile,
            "--http-port",
            "0",
            ...(options.options ?? []),
          ],
          { ...options, ...again },
        );
        const { listener } = (await process.logged("gateway.process.started")) as { listener: string };
        return { process, site, dataDir, url: listener, restart: start };
      };
      return start();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((process) => process[Symbol.asyncDispose]()));
      folder[Symbol.dispose]();
    },
  };
  return system;
}

function api(url: string, dataDir: string): Pick<CentralProcess, "get" | "post" | "push"> {
  const headers = (): Record<string, string> => ({
    authorization: `Bearer ${readFileSync(join(dataDir, "admin.token"), "utf8").trim()}`,
    "content-type": "application/json",
  });
  const post = async <Value>(path: string, body?: unknown): Promise<{ status: number; body: Value }> => {
    const response = await fetch(new URL(path, url), { method: "POST", headers: headers(), body: JSON.stringify(body ?? {}) });
    return { status: response.status, body: (await response.json().catch(() => undefined)) as Value };
  };
  return {
    post,
    async get<Value>(path: string): Promise<Value> {
      const response = await fetch(new URL(path, url), { headers: headers() });
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as Value;
    },
    async push(site, documents) {
      const files = documents.map((document) => ({
        name: `${document.kind}-${document.metadata.name}.json`,
        text: JSON.stringify(document),
      }));
      const answer = await post<{ revision: number }>(`/v1/sites/${site}/revisions`, { files });
      if (answer.status >= 300) throw new Error(`push: ${JSON.stringify(answer)}`);
      return answer.body.revision;
    },
  };
}

/** Waits until a site says that it runs this revision, be it watched still. */
export async function reported(central: CentralProcess, site: string, revision: number): Promise<void> {
  await until(
    async () =>
      (
        await central.get<{
          sites: { name: string; reportedRevision: number; configurationState: string; configurationReason: string | null }[];
        }>("/v1/sites")
      ).sites.find((entry) => entry.name === site),
    (view) => view?.reportedRevision === revision && ["active", "watching"].includes(view.configurationState),
  );
}
