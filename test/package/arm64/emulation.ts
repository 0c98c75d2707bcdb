import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";

/** As Debian's qemu-user-static says it to the kernel; its flags let it serve in roots that hold no emulator. */
const registration = "/usr/lib/binfmt.d/qemu-aarch64.conf";

/** What is missing for programs for arm64 to run here. */
export function missingEmulation(): string[] {
  if (process.arch === "arm64" || existsSync(registration)) return [];
  return ["the emulator of arm64 is missing; install it with: apt-get install -y qemu-user-static"];
}

/**
 * From now on, until it is disposed of or this process ends, this machine's kernel runs programs for arm64 by QEMU. What does so on its
 * own account is left as it is.
 */
export async function emulateArm64(): Promise<AsyncDisposable> {
  if (process.arch === "arm64") return { [Symbol.asyncDispose]: async () => {} };
  // a kernel of 6.7 or newer forgets it with the last mount, which ends with this child
  const script = `mount -t binfmt_misc none /mnt && { [ -e /mnt/qemu-aarch64 ] || cat ${registration} >/mnt/register; } && echo ready && exec sleep infinity`;
  const holder = ["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh", "-c", script];
  const child = spawn("setpriv", holder, { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await Promise.race([once(child.stdout, "data"), once(child, "close").then(() => [""])])) as [string | Buffer];
  if (!said.toString().includes("ready")) throw new Error("the kernel takes no emulator here (binfmt_misc)");
  return {
    async [Symbol.asyncDispose]() {
      const gone = once(child, "close");
      child.kill("SIGKILL");
      await gone;
    },
  };
}
