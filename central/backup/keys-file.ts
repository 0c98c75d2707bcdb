import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { keyFile } from "../secret/keyring.ts";

/** The keys that secrets are sealed under, in a file of their own (rule 19): without the backup they open nothing, nor it without them. */
const shape = z.object({
  kind: z.literal("CentralSecretsKey"),
  format: z.literal(1),
  /** The backup that it was made with; every backup whose secrets are sealed under the same keys is opened by it. */
  backup: z.string(),
  takenAt: z.iso.datetime(),
  keys: keyFile.shape.keys,
  /** Of `keys`, as JSON. */
  sha256: z.string(),
});
export type SecretKeys = z.infer<typeof shape>["keys"];

export const secretKeysFile = (dataDir: string): string => join(dataDir, "secrets-key.json");

/** @returns undefined where the folder has none: no secret was ever set, or the file is lost */
export function readSecretKeys(dataDir: string): SecretKeys | undefined {
  const file = secretKeysFile(dataDir);
  if (!existsSync(file)) return undefined;
  const parsed = keyFile.safeParse(jsonOf(file));
  if (parsed.success) return parsed.data.keys;
  throw new PlantgateError(
    "CONFIG_INVALID",
    `${file} does not hold keys: secrets sealed under them cannot be opened; restore it first`,
  );
}

export function formatKeysFile(keys: SecretKeys, backup: { readonly id: string; readonly takenAt: string }): string {
  const { id, takenAt } = backup;
  const content = { kind: "CentralSecretsKey", format: 1, backup: id, takenAt, keys, sha256: sumOf(keys) };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** @throws PlantgateError INPUT_INVALID where it is damaged or something else */
export function readKeysFile(file: string): SecretKeys {
  const parsed = shape.safeParse(jsonOf(file));
  // what it holds is not said: it may be half a key
  if (!parsed.success)
    throw new PlantgateError("INPUT_INVALID", `${file} is no file of keys that "plantgate backup --keys-out" wrote`);
  if (parsed.data.sha256 !== sumOf(parsed.data.keys))
    throw new PlantgateError("INPUT_INVALID", `${file} is damaged: its keys are not what they were`);
  return parsed.data.keys;
}

/** Names of keys that secrets are sealed under and that are not among these. */
export function missingKeys(needed: readonly string[], keys: SecretKeys | undefined): string[] {
  return needed.filter((kid) => !keys?.some((key) => key.kid === kid));
}

function sumOf(keys: SecretKeys): string {
  return createHash("sha256").update(JSON.stringify(keys)).digest("hex");
}

function jsonOf(file: string): unknown {
  const text = readFileSync(file, "utf8");
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
