import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./folder.ts";
import { parseStrace, type Syscall } from "./strace-log.ts";

const renames = new Set(["rename", "renameat", "renameat2"]);
const removals = new Set(["unlink", "unlinkat"]);
const syncs = new Set(["fsync", "fdatasync", "syncfs"]);
const writes = new Set(["write", "writev", "pwrite64", "pwritev"]);
const traced = [...renames, ...removals, ...syncs, ...writes].join(",");

/**
 * What a command and all that it starts asked of its disk below a folder, in order and in words (`write NAME`, `flush NAME`, `rename FROM TO`, `remove NAME`; the folder
 * itself is `.`), and what it said, each piece as it came.
 */
export function deedsOf(strace: string, command: readonly string[], folder: string, env: Record<string, string> = {}): string[] {
  using aside = temporaryFolder();
  const log = join(aside.path, "log");
  execFileSync(strace, ["-f", "-yy", "-x", "-s", "4096", "-o", log, "-e", `trace=${traced}`, ...command], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  return parseStrace(readFileSync(log, "utf8")).flatMap((call) => toDeed(call, folder));
}

function toDeed({ name, descriptor, bytes, texts, result }: Syscall, folder: string): string[] {
  if (result < 0) return [];
  const inside = (path: string): string | undefined => {
    if (path === folder) return ".";
    return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined;
  };
  if (renames.has(name)) return texts.every((text) => inside(text)) ? [`rename ${texts.map(inside).join(" ")}`] : [];
  const path = inside(removals.has(name) ? (texts[0] ?? "") : descriptor.slice(descriptor.indexOf("<") + 1, -1));
  if (path === undefined) return writes.has(name) && descriptor.startsWith("1<") ? [bytes.toString().trim()] : [];
  return [`${removals.has(name) ? "remove" : syncs.has(name) ? "flush" : "write"} ${path}`];
}
