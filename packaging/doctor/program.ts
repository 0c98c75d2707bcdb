import { lstatSync, readdirSync, realpathSync, type Stats } from "node:fs";
import { dirname, join } from "node:path";
import { type Finding, fault, stopping } from "../../protocol/index.ts";
import type { Installed } from "../cli/installed.ts";
import { isThisMachine, type Machine } from "./machine.ts";
import { listed, octal } from "./named.ts";
import { type Barrier, barrierTo, described, opened } from "./reach.ts";
import { type User, userNamed, userOf } from "./users.ts";

const deepest = 2;

/** What a package put there: root's alone to change, as root runs what lies there at an upgrade; and the service's to run and to read. */
export function programPermissions(machine: Machine): Finding[] {
  const { here, role } = machine;
  if (!here) return [];
  const findings = changeable(machine, here);
  if (!isThisMachine(machine)) return findings;
  const name = `plantgate-${role}`;
  const service = userNamed(name);
  if (service) return [...findings, ...shut(here, service)];
  const advice = `systemd-sysusers ${join(here.root, `current/install/sysusers.d/${name}.conf`)}, then chown -R ${name}: ${here.dataDir}`;
  return [...findings, stopping(`there is no user ${name}, as whom the service runs`, advice)];
}

function changeable(machine: Machine, here: Installed): Finding[] {
  const trusted = [
    dirname(here.root),
    here.root,
    join(here.root, "versions"),
    join(here.root, "choose"),
    ...treeOf(here.root),
    join(machine.root, "etc/plantgate"),
    here.configFile,
    ...below(join(machine.root, "etc/plantgate/release-keys.d"), 1),
  ];
  const open = trusted.flatMap((path) => {
    const stats = look(path);
    if (!stats || stats.isSymbolicLink()) return [];
    // in a root that is looked into from outside, owners are of another machine
    const isForeign = isThisMachine(machine) && stats.uid !== 0;
    if (!isForeign && (stats.mode & 0o022) === 0) return [];
    return [`${path} (${isForeign ? `of ${userOf(stats.uid).name}` : `mode ${octal(stats.mode)}`})`];
  });
  if (open.length === 0) return [];
  const etc = join(machine.root, "etc/plantgate");
  return [
    fault(
      `others than root may change the program or its settings: ${listed(open)}`,
      `chown -R root: ${here.root} ${etc} && chmod -R go-w ${here.root} ${etc}; if that stood open to somebody you do not trust, install the package again`,
    ),
  ];
}

function treeOf(root: string): string[] {
  try {
    return below(realpathSync(join(root, "current")), deepest);
  } catch {
    return [];
  }
}

/** A folder, and what lies in it. */
function below(folder: string, depth: number): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return [
      folder,
      ...entries.flatMap((entry) => {
        const path = join(folder, entry.name);
        return entry.isDirectory() && depth > 0 ? below(path, depth - 1) : [path];
      }),
    ];
  } catch {
    return [];
  }
}

/** What a start cannot do without: the program, as far as it is looked at, and the settings. */
function shut(here: Installed, service: User): Finding[] {
  const current = join(here.root, "current");
  const programs = [join(current, "bin/plantgate"), join(current, "bin/node")];
  const barriers = [
    ...programs.map((path) => barrierTo(service, path, "run")),
    ...[...treeOf(here.root), here.configFile].map((path) => barrierTo(service, path, "read")),
  ];
  const first = new Map<string, Barrier>();
  for (const barrier of barriers) if (barrier && !first.has(barrier.path)) first.set(barrier.path, barrier);
  return first.size === 0
    ? []
    : [
        stopping(
          `${service.name} may not ${described([...first.values()])}, and does not start without`,
          opened([...first.values()]),
        ),
      ];
}

function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}
