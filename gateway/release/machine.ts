import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { type PackageKind, parseJson } from "../../protocol/index.ts";

/** What the machine's updater notes: root's files, which a gateway only reads. */
const trialNote = z.object({ version: z.string(), begun: z.string() });
const lastNote = z.object({
  version: z.string(),
  outcome: z.enum(["kept", "rolled-back", "refused"]),
  reason: z.string().default(""),
  at: z.string(),
  begun: z.string().optional(),
});
export type LastUpgrade = Readonly<z.infer<typeof lastNote>>;

/** A machine whose updater takes what lies in the data folder's `upgrade/incoming`. */
export interface UpdatedMachine {
  readonly kind: PackageKind;
  /** The version that is on trial and not decided about. */
  trial(): string | undefined;
  last(): LastUpgrade | undefined;
}

/** What packages of this machine are called. */
export function platformHere(): string {
  return `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
}

/**
 * @param installedDir where a package put the program, `/opt/plantgate/gateway`; undefined: none did
 * @returns undefined where nobody would take a package: a person upgrades this gateway by hand
 */
export function findMachine(installedDir: string | undefined, dataDir: string): UpdatedMachine | undefined {
  if (installedDir === undefined || process.platform !== "linux") return undefined;
  const root = resolve(installedDir, "../../..");
  // the updater is woken by what comes to be there, and nowhere else
  if (resolve(dataDir) !== join(root, "var/lib/plantgate/gateway")) return undefined;
  if (!existsSync(join(installedDir, "current")) || !existsSync(join(installedDir, "choose"))) return undefined;
  const last = (): LastUpgrade | undefined => read(lastNote, join(installedDir, "last-upgrade.json"));
  return {
    kind: existsSync(join(root, "var/lib/dpkg/info/plantgate-gateway.list")) ? "deb" : "tar",
    trial() {
      const noted = read(trialNote, join(installedDir, "trial.json"));
      return noted === undefined || last()?.begun === noted.begun ? undefined : noted.version;
    },
    last,
  };
}

/** The updater's files never keep a gateway from its work. */
function read<Shape extends z.ZodType>(shape: Shape, file: string): z.infer<Shape> | undefined {
  try {
    return existsSync(file) ? shape.safeParse(parseJson(readFileSync(file, "utf8"))).data : undefined;
  } catch {
    return undefined;
  }
}
