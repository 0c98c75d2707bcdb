import { execFileSync } from "node:child_process";
import { renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../../../gateway/version.ts";
import type { Host } from "../plant/host.ts";
import { serviceUid, type UnitState } from "../plant/root.ts";
import { adding, changing, merge, mode, owner, remove, replace, type Seed, stoppedSeed } from "./seed.ts";

const hourMs = 3_600_000;

const unitSeed = (name: string, named: string, says: RegExp, state: UnitState, more: Partial<Seed<Host>> = {}): Seed<Host> => ({
  name,
  named,
  says,
  takes: ["unit"],
  isOfPackage: true,
  sow: ({ root }) => root.tell(state),
  mend: ({ root }) => root.tell(),
  ...more,
});

const config = ({ root }: Host): string => root.config;

const top =
  (path: string) =>
  ({ root }: Host): string =>
    join(root.top, path);
const tree =
  (path: string) =>
  ({ root }: Host): string =>
    join(root.tree, path);

/** What cannot be told without settings. */
export const settingsGone = [
  "config",
  "link",
  "gateway.json",
  "agent.db",
  "identity/gateway.key",
  "central-keys.json",
  "scheduler",
  "secrets/scheduler",
  "names",
  "database",
  "keys",
  "port",
  "console",
] as const;

/** What is wrong with a package, its unit and its settings is so for either role. */
export const hostSeeds: readonly Seed<Host>[] = [
  {
    name: "the disk is nearly full",
    named: ({ root }) => (root.role === "gateway" ? "fault disk" : "warning disk"),
    says: /MiB are free.*Make room/,
    takes: ["disk"],
    sow: ({ disk }) => disk.fill(20),
    mend: ({ disk }) => disk.free(),
  },
  {
    name: "the disk is read-only",
    named: "fault flush",
    says: /is read-only.*remount,rw/,
    takes: ["disk"],
    isAlone: true,
    whileStopped: true,
    sow: ({ disk }) => disk.remount("ro"),
    mend: ({ disk }) => disk.remount("rw"),
  },
  {
    name: "the disk has no room for files",
    named: "fault disk",
    says: /inodes/,
    takes: ["disk"],
    sow: ({ disk }) => disk.useInodes(20),
    mend: ({ disk }) => disk.free(),
  },
  {
    name: "the service cannot read its settings",
    named: "fault permissions",
    says: /\.yaml.*chmod/,
    takes: ["config"],
    isOfPackage: true,
    ...changing(config, mode(0o600)),
  },
  {
    name: "the settings name something unknown",
    named: "fault settings",
    says: /bogus.*\.yaml/,
    takes: settingsGone,
    isOfPackage: true,
    ...changing(
      config,
      replace((text) => `${text}bogus: 1\n`),
    ),
  },
  {
    name: "the settings are no YAML",
    named: "fault settings",
    says: /\.yaml/,
    takes: settingsGone,
    isOfPackage: true,
    ...changing(config, replace("port: [\n")),
  },
  {
    name: "the settings' file is missing",
    named: "fault settings",
    says: /\.yaml is missing/,
    takes: settingsGone,
    isOfPackage: true,
    ...changing(config, remove),
  },
  unitSeed("the service is not enabled", "warning service", /does not start with the machine/, { UnitFileState: "disabled" }),
  unitSeed("systemd has not read its units again", "warning service", /daemon-reload/, { NeedDaemonReload: "yes" }),
  {
    ...unitSeed(stoppedSeed, "fault service", /is stopped.*systemctl enable --now/, {
      ActiveState: "inactive",
      SubState: "dead",
    }),
    takes: ["unit", "process"],
    // one that has not what it needs to be started is not stopped
    needs: ["config", "gateway.json"],
    before: "stop",
    sow: async (machine) => {
      await machine.stop();
      machine.root.tell({ ActiveState: "inactive", SubState: "dead" });
    },
    mend: async (machine) => {
      machine.root.tell();
    },
  },
  {
    ...unitSeed("the service is masked", "fault service", /masked.*systemctl unmask/, {}),
    takes: ["unit", "known unit", "process"],
    before: "stop",
    sow: async (machine) => {
      await machine.stop();
      machine.root.tell({
        LoadState: "masked",
        FragmentPath: "/dev/null",
        ActiveState: "inactive",
        SubState: "dead",
        UnitFileState: "masked",
      });
    },
    mend: async (machine) => {
      machine.root.tell();
    },
  },
  {
    ...unitSeed("the service failed for a reason of its own", "fault service start", /has failed \(signal\)/, {}),
    // beside what stops every start it is a symptom
    isAlone: true,
    takes: ["unit", "process"],
    before: "stop",
    sow: async (machine) => {
      await machine.stop();
      machine.root.tell({ ActiveState: "failed", SubState: "failed", Result: "signal" });
    },
    mend: async (machine) => {
      machine.root.tell();
    },
  },
  {
    ...unitSeed("systemd does not know the service", "fault service", /does not know/, { LoadState: "not-found" }),
    takes: ["unit", "known unit"],
  },
  {
    name: "the unit was changed by hand",
    named: "warning versions",
    says: /is not the unit of the version.*systemctl edit/,
    takes: [],
    // of one that is masked, or not known, only that is said
    needs: ["current", "unit file", "known unit"],
    isOfPackage: true,
    ...changing(
      ({ root }) => root.unitFile,
      replace((text) => `${text}# mine\n`),
    ),
  },
  {
    name: "the tree says another version than its folder",
    named: "fault versions",
    says: /says that it is 9\.9\.9/,
    takes: ["tree"],
    isOfPackage: true,
    ...changing(tree("manifest.json"), merge({ version: "9.9.9" })),
  },
  {
    name: "the tree has no Node.js",
    named: "fault versions",
    says: /not whole.* without .*bin\/node/,
    takes: ["bin/node"],
    needs: ["tree"],
    isOfPackage: true,
    ...changing(tree("bin/node"), remove),
  },
  {
    name: "the release keys of the program are lost",
    named: "fault versions",
    says: /the next upgrade is refused.*without .*release-keys\.pem/,
    takes: ["upgrade parts"],
    needs: ["current", "tree"],
    isOfPackage: true,
    ...changing(tree("release-keys.pem"), remove),
  },
  {
    name: "what takes a version back is lost",
    named: "fault versions",
    says: /cannot be taken back, without .*choose/,
    takes: ["upgrade parts"],
    needs: ["current", "tree"],
    isOfPackage: true,
    ...changing(top("choose"), remove),
  },
  {
    name: "the service may not run its program",
    named: "fault permissions",
    says: /may not run .*bin\/node \(mode 0700\), and does not start without.*chmod a\+rx/,
    takes: ["reach"],
    needs: ["current", "tree", "config", "bin/node"],
    isOfPackage: true,
    ...changing(tree("bin/node"), mode(0o700)),
  },
  {
    name: "the service may not enter the program's folder",
    named: "fault permissions",
    says: /may not enter .*opt\/plantgate\/\w+ \(mode 0700\).*chmod a\+x/,
    takes: ["reach"],
    needs: ["current", "tree", "config", "bin/node"],
    isOfPackage: true,
    ...changing(top(""), mode(0o700)),
  },
  {
    name: "the folder above the data is shut",
    named: "fault permissions",
    says: /does not get to .*: it may not enter \/var\/lib\/plantgate \(mode 0700\).*chmod a\+x/,
    takes: [],
    // its own user sees nothing of what lies below
    isAlone: true,
    isOfPackage: true,
    ...changing(({ root }) => root.at("lib/plantgate"), mode(0o700)),
  },
  {
    name: "the service's user is gone",
    named: "fault permissions",
    says: /there is no user plantgate-\w+.*systemd-sysusers/,
    takes: ["reach", "user"],
    isOfPackage: true,
    ...changing(
      ({ root }) => root.at("etc/passwd"),
      replace((text) => text.replace(/^plantgate-.*$/m, "")),
    ),
  },
  {
    name: "the tree is not whole",
    named: "fault versions",
    says: /no whole program/,
    takes: ["tree", "trial", "last"],
    isOfPackage: true,
    sow: ({ root }) => renameSync(join(root.tree, "app"), join(root.tree, "gone")),
    mend: ({ root }) => renameSync(join(root.tree, "gone"), join(root.tree, "app")),
  },
  {
    name: "another version is installed than runs",
    named: "fault versions",
    says: /runs, 9\.9\.9 is installed.*systemctl restart/,
    takes: ["tree", "trial", "dpkg", "program"],
    needs: ["process"],
    isOfPackage: true,
    sow: ({ root }) => {
      const next = join(root.top, "versions/9.9.9");
      execFileSync("cp", ["-a", root.tree, next]);
      merge({ version: "9.9.9" })(
        join(next, "manifest.json"),
        JSON.stringify({ product: "plantgate", node: "26", platform: "linux-x64" }),
      );
      rmSync(join(root.top, "current"));
      symlinkSync("versions/9.9.9", join(root.top, "current"));
      root.packaged(undefined, "9.9.9");
    },
    mend: ({ root }) => {
      rmSync(join(root.top, "current"));
      symlinkSync(`versions/${version}`, join(root.top, "current"));
      rmSync(join(root.top, "versions/9.9.9"), { recursive: true });
      root.packaged();
    },
  },
  {
    name: "no version is current",
    named: "fault versions",
    says: /no whole program/,
    takes: ["current", "tree", "trial", "last", "dpkg", "program"],
    isOfPackage: true,
    sow: ({ root }) => {
      rmSync(join(root.top, "current"));
      symlinkSync("versions/0.0.0", join(root.top, "current"));
    },
    mend: ({ root }) => {
      rmSync(join(root.top, "current"));
      symlinkSync(`versions/${version}`, join(root.top, "current"));
    },
  },
  {
    name: "a version is on trial for hours",
    named: "fault versions",
    says: /has been on trial since.*--settle/,
    takes: ["trial", "clock"],
    isOfPackage: true,
    ...adding(
      top("trial.json"),
      () =>
        JSON.stringify({
          version,
          from: "0.0.1",
          starts: 1,
          mostStarts: 3,
          begun: new Date(Date.now() - 3 * hourMs).toISOString(),
        }),
      0o644,
    ),
  },
  {
    name: "the note of a trial is torn",
    named: "fault versions",
    says: /trial\.json cannot be read/,
    takes: ["trial"],
    isOfPackage: true,
    ...adding(top("trial.json"), "torn", 0o644),
  },
  {
    name: "an upgrade was taken back",
    named: "warning versions",
    says: /the upgrade to 9\.9\.9 was taken back: it ended by itself/,
    takes: ["last", "clock"],
    isOfPackage: true,
    ...adding(
      top("last-upgrade.json"),
      () =>
        JSON.stringify({
          version: "9.9.9",
          from: version,
          outcome: "rolled-back",
          reason: "it ended by itself",
          at: new Date(Date.now() - hourMs).toISOString(),
        }),
      0o644,
    ),
  },
  {
    name: "dpkg names another version",
    named: "warning versions",
    says: /dpkg says version 9\.9\.9/,
    // its unit is that version's, and so is the upgrade that was taken back
    takes: ["dpkg", "trial", "last", "unit file"],
    needs: ["tree"],
    isOfPackage: true,
    sow: ({ root }) => root.packaged(undefined, "9.9.9"),
    mend: ({ root }) => root.packaged(),
  },
  {
    name: "the package is half configured",
    named: "fault versions",
    says: /not wholly installed.*dpkg --configure -a/,
    takes: ["dpkg", "trial"],
    isOfPackage: true,
    sow: ({ root }) => root.packaged("install ok half-configured"),
    mend: ({ root }) => root.packaged(),
  },
  {
    name: "everybody may change the program",
    named: "fault permissions",
    says: /others than root may change the program/,
    takes: ["program"],
    needs: ["tree"],
    isOfPackage: true,
    ...changing(top("versions"), mode(0o777)),
  },
  {
    name: "the program is the service's",
    named: "fault permissions",
    says: /others than root may change the program/,
    takes: ["program"],
    needs: ["tree"],
    isOfPackage: true,
    ...changing(({ root }) => root.tree, owner(serviceUid)),
  },
];
