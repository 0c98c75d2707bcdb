import { PlantgateError } from "../../protocol/index.ts";
import { type Progress, readArchive } from "./archive.ts";
import { missingKeys, readKeysFile } from "./keys-file.ts";
import type { Manifest } from "./manifest.ts";
import { requireKnownSteps } from "./unpack.ts";

export interface Verified {
  readonly manifest: Manifest;
  /** Whether the keys given open its secrets; null: none were given, or it holds none. */
  readonly opensSecrets: boolean | null;
  readonly warnings: readonly string[];
}

/**
 * Reads a backup whole. What is in it was judged when it was taken (its pages, its audit log), so every byte being what it was is enough.
 * @throws PlantgateError INPUT_INVALID, FORMAT_NEWER, CONFIG_INVALID; KEY_UNKNOWN where the keys do not open its secrets
 */
export async function verify({
  file,
  keysFile,
  recoveryKey,
  progress,
}: {
  readonly file: string;
  readonly keysFile?: string | undefined;
  readonly recoveryKey?: string | undefined;
  readonly progress?: (doing: string) => Progress;
}): Promise<Verified> {
  const keys = keysFile === undefined ? undefined : readKeysFile(keysFile);
  const opener = recoveryKey === undefined ? undefined : { pem: recoveryKey };
  const manifest = await readArchive(file, { opener, progress: progress?.("reading") });
  requireKnownSteps(manifest);
  const { sealed, keys: needed } = manifest.ledger.secrets;
  if (sealed === 0) return { manifest, opensSecrets: null, warnings: [] };
  if (keys === undefined)
    return {
      manifest,
      opensSecrets: null,
      warnings: [`${sealed} sealed secrets lie in it; whether their keys are kept is judged with --keys FILE.`],
    };
  const missing = missingKeys(needed, keys);
  if (missing.length > 0)
    throw new PlantgateError(
      "KEY_UNKNOWN",
      `${keysFile} does not open the secrets of this backup: it lacks ${missing.join(", ")}`,
    );
  return { manifest, opensSecrets: true, warnings: [] };
}
