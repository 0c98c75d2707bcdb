import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's own folder. */
export const project = fileURLToPath(new URL("../../", import.meta.url));

/** Where a build keeps what it makes: `packages` is the result, `cache` what was downloaded and judged, `work` may be deleted. */
export interface Workspace {
  readonly packages: string;
  readonly cache: string;
  readonly work: string;
}

export function workspaceIn(out: string): Workspace {
  return { packages: join(out, "packages"), cache: join(out, "cache"), work: join(out, "work") };
}

/** The commit that is built, and its time: what all files of a package carry, so that the same commit gives the same bytes. */
export interface Origin {
  readonly commit: string;
  readonly epochSeconds: number;
}

export function originOf(folder: string, env: NodeJS.ProcessEnv = process.env): Origin {
  const git = (...args: string[]): string | undefined => {
    try {
      return execFileSync("git", ["-C", folder, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    } catch {
      return undefined;
    }
  };
  const head = git("rev-parse", "HEAD");
  const changed = head !== undefined && git("status", "--porcelain", "--untracked-files=no") !== "";
  const epochSeconds = Number(env.SOURCE_DATE_EPOCH ?? git("log", "-1", "--format=%ct") ?? 1_767_225_600);
  return { commit: head === undefined ? "unknown" : `${head}${changed ? "+changes" : ""}`, epochSeconds };
}

/** One package of package-lock.json. */
export interface Locked {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}

export function readLock(folder = project): Readonly<Record<string, Locked>> {
  return (JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as { packages: Record<string, Locked> }).packages;
}
