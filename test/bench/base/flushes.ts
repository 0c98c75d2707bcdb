import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { requireService } from "../../support/services.ts";
import type { Workspace } from "./workspace.ts";

/** What a system was seen to flush while it acknowledged messages one after the other. */
export interface FlushCheck {
  readonly messages: number;
  /** Calls that push data to the disk; undefined where strace cannot look. */
  readonly syncs: number | undefined;
}

const calls = "fsync,fdatasync,msync,sync_file_range,syncfs,sync";

/** Watches a process and its threads with strace while `work` has messages acknowledged, one at a time; it says how many. */
export async function checkFlushes(workspace: Workspace, pid: number, work: () => Promise<number>): Promise<FlushCheck> {
  const strace = await requireService("strace");
  if (!strace) return { messages: await work(), syncs: undefined };
  const log = workspace.path(`syncs-${pid}.strace`);
  const watcher = spawn(strace, ["-f", "-e", `trace=${calls}`, "-e", "signal=none", "-o", log, "-p", String(pid)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(watcher, "exit");
  await attached(watcher);
  const messages = await work();
  // strace lets go of what it watches
  watcher.kill("SIGINT");
  await ended;
  const syncs = readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => /\) += 0$/.test(line) && calls.split(",").some((call) => line.includes(call))).length;
  return { messages, syncs };
}

export function describeFlushes({ messages, syncs }: FlushCheck): string {
  if (syncs === undefined) return "not looked at";
  const answer = syncs >= messages ? "yes" : "no";
  return `${answer}: ${syncs} syncs for ${messages} messages`;
}

async function attached(watcher: ChildProcess): Promise<void> {
  for await (const chunk of watcher.stderr?.setEncoding("utf8") ?? []) {
    if (String(chunk).includes("attached")) break;
  }
  watcher.stderr?.resume();
}
