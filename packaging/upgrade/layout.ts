import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { PlantgateError } from "../../protocol/index.ts";
import { installed, machineRoot, type Role } from "../cli/installed.ts";

/** Where everything of a role lies on an installed machine. */
export interface Layout {
  readonly role: Role;
  /** `/opt/plantgate/ROLE` */
  readonly top: string;
  readonly versions: string;
  /** Link to `versions/VERSION`: what runs. */
  readonly current: string;
  readonly trial: string;
  readonly last: string;
  /** Root's own folder, for what is not a version yet. */
  readonly work: string;
  /** What every start runs first. */
  readonly choose: string;
  readonly lock: string;
  readonly dataDir: string;
  readonly unit: string;
  readonly trustedKeys: string;
  readonly configFile: string;
  /** Root's own, beside central's data: what it was before an upgrade. */
  readonly backups: string;
}

export function layoutOf(role: Role): Layout {
  const top = join(machineRoot(), "opt/plantgate", role);
  const dataDir = dataDirOf(role);
  return {
    role,
    top,
    versions: join(top, "versions"),
    current: join(top, "current"),
    trial: join(top, "trial.json"),
    last: join(top, "last-upgrade.json"),
    work: join(top, "upgrade"),
    choose: join(top, "choose"),
    lock: join(top, "upgrade.lock"),
    dataDir,
    backups: join(dirname(dataDir), "central-before-upgrades"),
    unit: `plantgate-${role}.service`,
    trustedKeys: join(machineRoot(), "etc/plantgate/release-keys.d"),
    configFile: join(machineRoot(), "etc/plantgate", `${role}.yaml`),
  };
}

/** Settings that cannot be read are for the service to say: an upgrade may be what repairs them. */
function dataDirOf(role: Role): string {
  try {
    const here = installed(role);
    if (here) return here.dataDir;
  } catch (error) {
    if (!(error instanceof PlantgateError)) throw error;
  }
  return join(machineRoot(), "var/lib/plantgate", role);
}

export function installedRoles(): Role[] {
  return (["gateway", "central"] as const).filter((role) => existsSync(join(layoutOf(role).top, "current")));
}
