import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WallClock } from "../../../fault/clock/faketime.ts";
import { startTestCentral } from "../../../support/central.ts";
import { makeAuthority } from "../../../support/certificates.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { freePort } from "../../../support/mosquitto.ts";
import { startPressProcess } from "../../../support/opcua-server.ts";
import { type RunningProcess, startPlantgate, until } from "../../../support/process.ts";
import { loopDisk } from "./disk.ts";
import { documents, type Plan } from "./documents.ts";
import { doctorIn, runIn } from "./host.ts";
import { hosts, odoo, startBroker, startFront, startPeer } from "./peers.ts";
import { openRoot, serviceUid } from "./root.ts";

const secrets = { terminal: "value-of-terminal", erp: "value-of-erp" };
export const connectors = ["wms", "floor", "scheduler", "press", "erp"] as const;
export type ConnectorName = (typeof connectors)[number];

/**
 * A plant's server with a real gateway, as a package installs it, on a disk of its own; enrolled at a real central behind TLS of a private authority,
 * with a real system behind each connector. Every part of it can be broken, and mended.
 */
export async function openPlant(library: string) {
  // what was begun is ended as well where a later step fails
  await using began = new AsyncDisposableStack();
  const folder = began.use(temporaryFolder()).path;
  chmodSync(folder, 0o755);
  const disk = began.use(loopDisk(folder, 300));
  const dataDir = join(disk.path, "gateway");
  mkdirSync(dataDir, { mode: 0o700 });
  chownSync(dataDir, serviceUid, serviceUid);
  const root = began.use(await openRoot(folder, "gateway", dataDir));
  root.know(Object.values(hosts));
  const central = began.use(await startTestCentral());
  const authority = await makeAuthority();
  const ca = join(folder, "ca.pem");
  writeFileSync(ca, authority.ca, { mode: 0o644 });
  const front = began.use(await startFront(authority, central.url));
  const broker = began.use(await startBroker(folder, authority));
  const scheduler = began.use(await startPeer(hosts.scheduler, (_, response) => response.end("{}")));
  const erp = began.use(await startPeer(hosts.erp, odoo()));
  const press = began.use(await startPressProcess({ namespaces: [] }));
  const floorPort = await freePort();
  const clock = new WallClock(folder, "doctor", library);
  const env = { ...root.env, NODE_EXTRA_CA_CERTS: ca };

  await central.admin("POST", "/v1/sites", { name: "lyon", environment: "dev" });
  const { body } = await central.admin<{ token: string }>("POST", "/v1/sites/lyon/enrollment-tokens", { lifeSeconds: 7200 });
  const enroll = began.use(
    startPlantgate(["enroll", "--central", front.url, "--token", body.token, "--central-ca", ca], {
      wrapper: root.entered,
      env,
    }),
  );
  const fingerprint = await until(
    () => /--fingerprint ([0-9a-f]{64})/.exec(enroll.output.join("\n"))?.[1] ?? "",
    (found) => found !== "",
  );
  await central.admin("POST", `/v1/sites/lyon/keys/${fingerprint}/confirm`, {});
  if ((await enroll.ended) !== 0) throw new Error(enroll.output.join("\n"));
  // some are the machine's, one lies in the data folder
  for (const [name, value] of Object.entries(secrets)) root.putSecret(name, value);
  mkdirSync(join(dataDir, "secrets"), { recursive: true, mode: 0o700 });
  writeFileSync(join(dataDir, "secrets/scheduler"), "value-of-scheduler", { mode: 0o600 });
  for (const path of ["secrets", "secrets/scheduler"]) chownSync(join(dataDir, path), serviceUid, serviceUid);

  const plan: Plan = {
    purpose: "What is missing",
    ...{ wmsUrl: broker.url, schedulerUrl: scheduler.url, erpUrl: erp.url, floorPort },
    ...{
      pressEndpoint: `opc.tcp://${hosts.press}:${new URL(press.endpoint).port}`,
      pressSecurity: "None",
      pressPolicy: "Basic256Sha256",
      pressNode: "nsu=urn:plantgate:demo:press;s=Strokes",
    },
    ...{ budget: undefined, extraSecret: undefined, watch: "1s" },
  };

  let gateway: RunningProcess | undefined;
  began.defer(async () => gateway?.[Symbol.asyncDispose]());
  const plant = {
    ...{ folder, dataDir, ca, root, disk, central, authority, front, broker, scheduler, erp, press, plan, clock, fingerprint },
    get pid() {
      return gateway?.pid;
    },
    async start(): Promise<void> {
      gateway = startPlantgate(["gateway", "--config", "/etc/plantgate/gateway.yaml"], {
        wrapper: root.enteredAsService,
        env: { ...env, ...root.credentials(secrets) },
      });
      await gateway.logged("gateway.process.started").catch(() => {});
    },
    stop: async (signal: NodeJS.Signals = "SIGTERM"): Promise<void> => void (await gateway?.kill(signal)),
    async restart(): Promise<void> {
      await plant.stop();
      await plant.start();
      await until(plant.status, (status) => status !== undefined);
    },
    /** Has the gateway run a configuration. */
    async configure(change: Partial<Plan> = {}): Promise<void> {
      const files = documents({ ...plan, ...change }).map((document, index) => ({
        name: `${index}.json`,
        text: JSON.stringify(document),
      }));
      const pushed = await central.admin<{ revision: number }>("POST", "/v1/sites/lyon/revisions", { files });
      if (pushed.status >= 300) throw new Error(JSON.stringify(pushed.body));
      await until(
        async () => (await plant.status())?.configuration,
        (found) =>
          found?.reported === pushed.body.revision && found.state === (change.watch === undefined ? "active" : "watching"),
      );
    },
    async status() {
      try {
        const { url, token } = JSON.parse(readFileSync(join(dataDir, "local.json"), "utf8")) as { url: string; token: string };
        const answer = await fetch(`${url}/local/v1/status`, {
          headers: { authorization: `Bearer ${token}` },
          // one that hangs is none that answers
          signal: AbortSignal.timeout(2000),
        });
        return (await answer.json()) as {
          link: string;
          configuration: { reported: number; state: string };
          connectors: { name: string; state: string; reason?: string }[];
        };
      } catch {
        return undefined;
      }
    },
    /** Waits until the gateway says of a connector that it is in this state. */
    async connectorIs(name: ConnectorName, ...states: readonly string[]): Promise<void> {
      await until(
        async () => (await plant.status())?.connectors.find((each) => each.name === name),
        (found) => found !== undefined && states.includes(found.state),
      );
    },
    async linkIs(...states: readonly string[]): Promise<void> {
      await until(
        async () => (await plant.status())?.link ?? "silent",
        (found) => states.includes(found),
      );
    },
    async isWell(): Promise<boolean> {
      const status = await plant.status();
      return (
        status?.link === "online" &&
        connectors.every((name) => status.connectors.some((each) => each.name === name && each.state === "up"))
      );
    },
    /** Whatever was broken is mended: the gateway is as it was, started anew where it takes its time. */
    async recover(): Promise<void> {
      if (gateway && (await plant.isWell())) return;
      await plant.stop("SIGKILL");
      await plant.start();
      await until(
        () => plant.isWell(),
        (is) => is,
      );
    },
    doctor: doctorIn(root, folder),
    run: (args: readonly string[]) => runIn(root, args),
    file: (path: string): string => join(dataDir, path),
    has: (path: string): boolean => existsSync(join(dataDir, path)),
    [Symbol.asyncDispose]: (): Promise<void> => begun.disposeAsync(),
  };
  await plant.start();
  await plant.linkIs("online");
  await plant.configure();
  await until(
    () => plant.isWell(),
    (is) => is,
  );
  const begun = began.move();
  return plant;
}
export type Plant = Awaited<ReturnType<typeof openPlant>>;
