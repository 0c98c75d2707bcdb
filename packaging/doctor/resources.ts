import { readFile } from "node:fs/promises";
import { type Finding, ok, unchecked, warning } from "../../protocol/index.ts";
import type { Machine } from "./machine.ts";

const leastFiles = 1024;
const leastMib = 128;

/** Memory of the machine, and open files that the process may have. */
export async function checkResources({ pid }: Machine): Promise<Finding[]> {
  const findings: Finding[] = [];
  const available = /MemAvailable:\s+(\d+) kB/.exec(await text("/proc/meminfo"))?.[1];
  if (available !== undefined && Number(available) / 1024 < leastMib)
    findings.push(
      warning(
        `${Math.round(Number(available) / 1024)} MiB of memory are available`,
        "Find out what uses it (ps aux --sort=-rss), or give the machine more: the kernel ends processes when none is left",
      ),
    );
  const files = pid === undefined ? undefined : /Max open files\s+(\d+)/.exec(await text(`/proc/${pid}/limits`))?.[1];
  if (files !== undefined && Number(files) < leastFiles)
    findings.push(warning(`process ${pid} may have ${files} files open`, "Raise LimitNOFILE in its unit (systemctl edit)"));
  if (findings.length > 0) return findings;
  return available === undefined
    ? [unchecked("this system does not tell its memory")]
    : [ok(`${Math.round(Number(available) / 1024)} MiB of memory are available`)];
}

async function text(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => "");
}
