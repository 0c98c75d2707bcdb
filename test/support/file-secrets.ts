import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { HostDeps } from "../../gateway/connector/host.ts";
import { PlantgateError } from "../../protocol/index.ts";

/** Secrets as files of the data folder, as long as central has none. */
export function fileSecrets(dataDir: string): HostDeps["secrets"] {
  const get = ({ secret }: { secret: string }): string => {
    const file = join(dataDir, "secrets", secret);
    try {
      return readFileSync(file, "utf8").trim();
    } catch (cause) {
      throw new PlantgateError("SECRET_MISSING", `the secret "${secret}" is missing: put it into ${file}`, { cause });
    }
  };
  return { get, all: (ref) => [get(ref)], mark: () => "" };
}
