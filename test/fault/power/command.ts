import { execFile } from "node:child_process";

/** Runs a system program to its end; resolves with its standard output. @throws Error with what it said */
export function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
    execFile(program, [...args], { env }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(" ")}: ${stderr.trim() || error.message}`));
      else resolve(stdout.trim());
    });
  });
}

/** Unmounts; a file system that is still in use for a moment is asked again. */
export async function unmount(path: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await run("umount", [path]);
      return;
    } catch (error) {
      if (tries === 40) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Takes a mount away for good, also where the kernel lets go of what lies on it only later, as a loop device does. */
export async function detach(path: string): Promise<void> {
  await unmount(path)
    .catch(() => run("umount", ["--lazy", path]))
    .catch(() => {});
}
