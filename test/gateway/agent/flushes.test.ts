import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../support/folder.ts";
import { requireService } from "../../support/services.ts";
import { parseStrace, type Syscall } from "../../support/strace-log.ts";

const strace = await requireService("strace");
const script = fileURLToPath(new URL("../../support/scripts/agent-documents.ts", import.meta.url));

/** What a process asked of its disk for `agent.db`, in words, and what it said. */
function deedsOf(calls: readonly Syscall[], folder: string): string[] {
  const nameOf = ({ descriptor }: Syscall): string => descriptor.slice(descriptor.indexOf("<") + 1, -1).replace(folder, "");
  return calls.flatMap((call) => {
    if (call.name === "write" && call.descriptor.startsWith("1<")) return [call.bytes.toString().trim()];
    if (call.name === "rename") return ["rename"];
    if (!call.descriptor.includes(folder) || call.result < 0) return [];
    return [`${call.name} ${nameOf(call)}`];
  });
}

it.skipIf(!strace)("says that something is noted only when the machine was told to flush it, and a new file's name too", () => {
  using folder = temporaryFolder();
  const log = join(folder.path, "log");
  const file = join(folder.path, "agent.db");
  const flags = ["-f", "-yy", "-x", "-s", "4096", "-o", log, "-e", "trace=write,pwrite64,fsync,rename"];
  execFileSync(strace as string, [...flags, process.execPath, script, file], { stdio: ["ignore", "pipe", "ignore"] });
  const deeds = deedsOf(parseStrace(readFileSync(log, "utf8")), folder.path);
  const spans: string[][] = [[]];
  for (const deed of deeds) {
    spans.at(-1)?.push(deed);
    if (deed.startsWith("noted")) spans.push([]);
  }
  const noted = spans.filter((span) => span.at(-1)?.startsWith("noted"));
  expect(noted.length).toBe(12);
  for (const span of noted) {
    const last = (deed: string): number => span.lastIndexOf(deed);
    expect(last("write /agent.db"), span.join(", ")).toBeGreaterThanOrEqual(0);
    expect(last("fsync /agent.db"), span.join(", ")).toBeGreaterThan(last("write /agent.db"));
    if (!span.includes("rename")) continue;
    expect(last("fsync /agent.db.new")).toBeGreaterThan(last("write /agent.db.new"));
    expect(last("rename")).toBeGreaterThan(last("fsync /agent.db.new"));
    expect(last("fsync ")).toBeGreaterThan(last("rename"));
  }
  expect(noted[0]).toContain("fsync ");
  expect(deeds.filter((deed) => deed === "rename").length).toBeGreaterThan(0);
});
