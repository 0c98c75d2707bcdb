import { type Check, type Finding, fault } from "../../protocol/index.ts";
import { checkFlush } from "./flush.ts";
import type { Machine } from "./machine.ts";
import { checkPermissions } from "./permissions.ts";
import { checkResources } from "./resources.ts";
import { checkService } from "./service.ts";
import { checkVersions } from "./versions.ts";

interface MachineCheck extends Omit<Check, "run"> {
  readonly run: (machine: Machine) => Promise<readonly Finding[]>;
}

/** What a machine is asked, whatever runs on it. These are asked as whoever runs the doctor: root sees more. */
const asCaller: readonly MachineCheck[] = [
  {
    name: "service",
    about: "the systemd unit runs, stays up, starts with the machine; versions that central offers are taken",
    limitMs: 5000,
    run: checkService,
  },
  {
    name: "versions",
    about: "program, its tree, what runs, package and unit are whole and of one version; what came of the last upgrade",
    limitMs: 5000,
    run: checkVersions,
  },
  {
    name: "permissions",
    about: "owners and modes of the data folder, what lies in it and above it, /etc/plantgate, and the program",
    limitMs: 5000,
    run: async (machine) => checkPermissions(machine),
  },
  {
    name: "resources",
    about: "less than 128 MiB of memory available, fewer than 1024 open files allowed",
    limitMs: 3000,
    run: checkResources,
  },
];
/** And this one as the service's user, who writes there. */
const asOwner: readonly MachineCheck[] = [
  {
    name: "flush",
    about:
      "a flush of 4 KiB: half of them within 20 ms (else warning), 100 ms (else fault); file systems that lose what they confirmed",
    limitMs: 16_000,
    late: fault("the disk of the data folder does not answer within 16 s", "Look at dmesg and at the disk"),
    run: (machine) => checkFlush(machine),
  },
];

export function machineChecks(machine: Machine): { readonly asCaller: Check[]; readonly asOwner: Check[] } {
  const bind = (checks: readonly MachineCheck[]): Check[] =>
    checks.map(({ run, ...check }) => ({ ...check, run: () => run(machine) }));
  return { asCaller: bind(asCaller), asOwner: bind(asOwner) };
}
