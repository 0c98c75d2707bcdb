import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";

let updated = false;

/**
 * Installs packages of Debian where that is possible: as root, with apt-get. Several test processes may want that at once, and
 * apt-get refuses a second one: they wait for each other.
 * @returns why not, in a line; undefined once they are there
 */
export function installFromDebian(...names: readonly string[]): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "only root on Linux can install it here";
  const apt = (timeout: number, ...args: readonly string[]): void => {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    execFileSync("flock", [join(tmpdir(), "plantgate-tests-apt.lock"), "apt-get", "-y", "-qq", ...args], {
      env,
      stdio: "ignore",
      timeout,
    });
  };
  try {
    if (!updated) apt(300_000, "update");
    updated = true;
    apt(900_000, "-o", "DPkg::Lock::Timeout=300", "install", "--no-install-recommends", ...names);
    return undefined;
  } catch (error) {
    return `apt-get failed: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`;
  }
}
