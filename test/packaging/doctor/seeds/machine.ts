import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import type { Host } from "../plant/host.ts";
import { serviceUid, type UnitState, upgradePath } from "../plant/root.ts";
import { settingsGone } from "./host.ts";
import { changing, inData, mode, remove, replace, type Seed } from "./seed.ts";

const clockSeed = (name: string, named: string, seconds: number, says: RegExp): Seed => ({
  name,
  named,
  says,
  // by such a clock no certificate is good, and what else is wrong with one is not said
  takes: ["clock", ...(Math.abs(seconds) > 86_400 ? ["dates"] : [])],
  needsOne: ["link", "process"],
  clockSeconds: seconds,
});

const etc =
  (path: string) =>
  ({ root }: Host): string =>
    root.at(`etc/plantgate/${path}`);

const restarting: UnitState = { ActiveState: "activating", SubState: "auto-restart", NRestarts: "7", Result: "exit-code" };

/** A gateway that cannot be started, as systemd tries it again and again: the cause is named. */
const unstartable = (name: string, of: Pick<Seed, "named" | "says" | "takes">, change: ReturnType<typeof changing>): Seed => ({
  name,
  ...of,
  takes: [...of.takes, "process", "unit", "floor", "link", "scheduler"],
  isOfPackage: true,
  before: "stop",
  sow: async (plant) => {
    await plant.stop();
    await change.sow(plant);
    plant.root.tell(restarting);
  },
  mend: async (plant) => {
    await change.mend(plant);
    plant.root.tell();
  },
});

let squatter: Server | undefined;

/** Its own user may do that. */
const limitFiles = (pid: number | undefined, most: number): Buffer =>
  execFileSync("setpriv", [
    `--reuid=${serviceUid}`,
    `--regid=${serviceUid}`,
    "--clear-groups",
    "prlimit",
    "--pid",
    String(pid),
    `--nofile=${most}:`,
  ]);

/** Of the machine that a gateway runs on. */
export const gatewayMachineSeeds: readonly Seed[] = [
  clockSeed("the clock is hours ahead", "fault clock", 7 * 3600, /7 h ahead of central's.*timedatectl/),
  clockSeed("the clock is hours behind", "fault clock", -5 * 3600, /5 h behind central's/),
  clockSeed("the clock stands in 1970", "fault clock", -56 * 365 * 86_400, /it says 19/),
  clockSeed("the clock is years ahead", "fault clock", 5 * 365 * 86_400, /days ahead/),
  clockSeed("the clock is some seconds off", "warning clock", 20, /20 s ahead|19 s ahead|21 s ahead/),
  {
    name: "the disk is full",
    named: "fault disk",
    says: /nothing new is taken in/,
    takes: ["disk"],
    sow: ({ disk }) => disk.fill(2),
    mend: async (plant) => {
      plant.disk.free();
    },
  },
  {
    name: "what may wait does not fit on the disk",
    named: "warning disk",
    says: /budgets.*the whole file system has/,
    takes: ["disk"],
    needs: ["link", "process", "addresses"],
    plan: () => ({ budget: "1GiB" }),
  },
  {
    name: "the gateway may open few files",
    named: "warning resources",
    says: /512 files open.*LimitNOFILE/,
    takes: [],
    needs: ["process"],
    sow: ({ pid }) => limitFiles(pid, 512),
    mend: ({ pid }) => limitFiles(pid, 4096),
  },
  {
    name: "systemd's secret is readable by all",
    named: "fault permissions",
    says: /not root's alone: .*secrets\/erp/,
    takes: ["/etc secrets"],
    isOfPackage: true,
    ...changing(etc("secrets/erp"), mode(0o644)),
  },
  {
    name: "systemd's secrets lie in an open folder",
    named: "fault permissions",
    says: /not root's alone: /,
    takes: ["/etc secrets"],
    isOfPackage: true,
    ...changing(etc("secrets"), mode(0o755)),
  },
  {
    name: "systemd's secret is missing",
    named: "fault secrets erp",
    says: /is missing.*\/etc\/plantgate\/secrets/,
    takes: ["erp", "/etc secrets"],
    needs: ["addresses"],
    isOfPackage: true,
    ...changing(etc("secrets/erp"), remove),
  },
  {
    name: "systemd's secret is empty",
    named: "fault secrets erp",
    says: /is empty/,
    takes: ["erp", "/etc secrets"],
    needs: ["addresses"],
    isOfPackage: true,
    ...changing(etc("secrets/erp"), replace("")),
  },
  {
    name: "a secret was put aside",
    named: "fault permissions",
    says: /secrets that the service does not get/,
    takes: ["aside"],
    isOfPackage: true,
    sow: (plant) => {
      mkdirSync(etc("secrets-not-usable")(plant), { mode: 0o700 });
      writeFileSync(etc("secrets-not-usable/a:b")(plant), "x", { mode: 0o600 });
    },
    mend: (plant) => rmSync(etc("secrets-not-usable")(plant), { recursive: true }),
  },
  {
    name: "what central offers is not taken",
    named: "warning service",
    says: /plantgate-gateway-upgrade\.path is inactive, disabled.*systemctl enable --now/,
    takes: [],
    // of a service that is not known, or masked, nothing more is said
    needs: ["unit"],
    isOfPackage: true,
    sow: ({ root }) => root.tell({ ActiveState: "inactive", SubState: "dead", UnitFileState: "disabled" }, upgradePath),
    mend: ({ root }) => root.tell({}, upgradePath),
  },
  unstartable(
    "a gateway does not start, as its address is another machine's",
    {
      named: ({ root }) => `fault ports the local listener, port ${root.port}`,
      says: /nobody can listen at 203\.0\.113\.9.*127\.0\.0\.1/,
      takes: ["config"],
    },
    changing(
      etc("gateway.yaml"),
      replace((text) => `${text}host: 203.0.113.9\n`),
    ),
  ),
  unstartable(
    "a gateway does not start, as its settings are wrong",
    { named: "fault settings", says: /port/, takes: settingsGone },
    changing(etc("gateway.yaml"), replace("port: nonsense\n")),
  ),
  unstartable(
    "a gateway does not start, as its key is lost",
    { named: "fault identity", says: /key is missing/, takes: ["identity/gateway.key"] },
    changing(inData("identity/gateway.key"), remove),
  ),
  unstartable(
    "a gateway does not start, as the authority's file is lost",
    { named: "fault central", says: /certificates/, takes: ["central-ca.pem"] },
    changing(inData("central-ca.pem"), remove),
  ),
  {
    name: "a gateway does not start, as its port is taken",
    named: ({ root }) => `fault ports the local listener, port ${root.port}`,
    says: /process \d+ .* listens there/,
    takes: ["process", "unit", "config"],
    isOfPackage: true,
    before: "stop",
    sow: async (plant) => {
      await plant.stop();
      squatter = createServer().listen(plant.root.port, "127.0.0.1");
      await once(squatter, "listening");
      plant.root.tell(restarting);
    },
    mend: async (plant) => {
      squatter?.close();
      plant.root.tell();
    },
  },
];
