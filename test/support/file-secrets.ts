import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { HostDeps } from "../../gateway/connector/host.ts";

/** Secrets as files of the data folder, as long as central has none. */
export function fileSecrets(dataDir: string): HostDeps["secrets"] {
  const get = ({ secret }: { secret: string }): string => readFileSync(join(dataDir, "secrets", secret), "utf8").trim();
  return { get, all: (ref) => [get(ref)], mark: () => "" };
}
