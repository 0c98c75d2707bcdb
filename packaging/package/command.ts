import { spawn } from "node:child_process";
import { once } from "node:events";

/** What stops a build and is not a defect of it: the message says what to do. */
export class BuildError extends Error {
  override readonly name = "BuildError";
}

/** Programs that a build runs, by the Debian package that brings them. */
const packages: Readonly<Record<string, string>> = {
  npm: "npm",
  tar: "tar",
  gzip: "gzip",
  cp: "coreutils",
  "dpkg-deb": "dpkg",
  "apt-get": "apt",
};

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** What it was to do, for the message: "the production packages of npm". */
  readonly purpose: string;
}

/**
 * Runs a program to its end; resolves with what it wrote.
 * @throws BuildError when it is missing or fails, with the end of what it said
 */
export async function run(program: string, args: readonly string[], { cwd, env, purpose }: CommandOptions): Promise<string> {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let [said, complained] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complained += text;
  });
  try {
    const [code] = (await once(child, "close")) as [number | null];
    if (code === 0) return said;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new BuildError(
      `${purpose}: ${program} is missing; install it with: apt-get install -y ${packages[program] ?? program}`,
    );
  }
  const end = `${said}${complained}`.trimEnd().split("\n").slice(-15).join("\n");
  const unreached =
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|Temporary failure|Could not resolve|Unable to fetch/.test(end);
  const advice = unreached ? "\nThis had to be downloaded and could not be: try again with a network." : "";
  throw new BuildError(`${purpose}: ${program} ${args[0] ?? ""} failed\n${end}${advice}`);
}
