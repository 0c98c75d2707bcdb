import { createHash } from "node:crypto";
import { z } from "zod";
import { describeError, PlantgateError } from "../../protocol/index.ts";
import { parseRecord, versionName } from "./records.ts";
import { currentVersion, note, type Outcome, readTrial, settle, type TrialDeps } from "./trials.ts";
import { otherVersions, type Package, type UpgradeOptions, upgrade } from "./upgrade.ts";

/** No package is larger. */
export const maxPackageBytes = 256 * 1024 ** 2;

const folder = ["upgrade", "incoming"] as const;
const requestFile = [...folder, "request.json"] as const;

/** What the gateway asks for; it lies there once the package does. */
const request = z.object({
  version: versionName,
  file: z.string().regex(/^[0-9A-Za-z][0-9A-Za-z.+~_-]{0,127}$/),
  size: z.int().positive().max(maxPackageBytes),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  signature: z.string().optional(),
  /** A way back is meant. */
  older: z.boolean().default(false),
});

/**
 * Settles what is on trial, then takes what the gateway puts before us. The gateway has no rights here: its files are copied, no link being followed, and
 * the copy is judged as any package is. The request is removed before anything follows from it: one that fails is not tried again and again.
 * @returns undefined where nothing is asked for
 */
export async function takeIncoming(deps: TrialDeps, options: Omit<UpgradeOptions, "allowOlder">): Promise<Outcome | undefined> {
  const { layout, machine, tell } = deps;
  const settled = await settle(deps);
  const text = machine.readForeign(layout.dataDir, requestFile, 64 * 1024)?.toString("utf8");
  // what cannot be read is taken away as well: while it lies there, the service is started again and again
  if (!machine.removeForeign(layout.dataDir, requestFile)) return settled;
  const asked = parseRecord(request, text);
  try {
    if (!asked) throw new PlantgateError("INPUT_INVALID", "what the gateway asks for is not understood");
    if (currentVersion(deps) === asked.version) {
      tell(`version ${asked.version} runs already`);
      return settled;
    }
    // the way back leads to the version before, which still lies here, and no further: nobody who asks from afar gets at older holes
    const allowOlder = asked.older && otherVersions(deps).includes(asked.version);
    return await upgrade(deps, read(deps, asked), { ...options, allowOlder });
  } catch (error) {
    // one that is on trial was not refused: what becomes of it is yet to be decided
    if (asked === undefined || readTrial(deps)?.version !== asked.version) {
      const from = currentVersion(deps) ?? "";
      note(deps, { version: asked?.version ?? "", from, outcome: "refused", reason: describeError(error) });
    }
    throw error;
  }
}

function read({ layout, machine }: TrialDeps, asked: z.infer<typeof request>): Package {
  const { version, file, size, sha256, signature } = asked;
  const bytes = machine.readForeign(layout.dataDir, [...folder, file], size);
  if (bytes?.length !== size) throw new PlantgateError("INPUT_INVALID", `${file} is not there, or not of the size that was told`);
  if (createHash("sha256").update(bytes).digest("hex") !== sha256)
    throw new PlantgateError("INPUT_INVALID", `${file} is not what was told: its SHA-256 differs`);
  const beside = machine.readForeign(layout.dataDir, [...folder, `${file}.sig`], 4096)?.toString("utf8");
  const own = beside ?? signature;
  if (own === undefined) throw new PlantgateError("SIGNATURE_INVALID", `${file} has no signature`);
  return { name: file, bytes, signature: own, version };
}
