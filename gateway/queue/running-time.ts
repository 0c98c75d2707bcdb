import { readFileSync } from "node:fs";
import { uptime } from "node:os";

/** One run of the machine's kernel, and for how long it runs: time that no clock setting changes. */
export interface KernelTime {
  /** Names the run; its uptimes are comparable with each other. */
  readonly boot: string;
  /** Milliseconds since the kernel started, sleep included. */
  uptimeMs(): number;
}

/** Running time and uptime at one moment of a run of the kernel. */
export interface RunningMark {
  readonly runMs: number;
  readonly uptimeMs: number;
}

/**
 * Running time: goes on while the machine runs, also while the gateway does not, and never jumps with the wall clock (P10). While the
 * machine is off it stands still, because nobody can tell for how long that is.
 */
export class RunningTime {
  readonly #kernel: KernelTime;
  readonly #baseMs: number;
  /** Running time when this run of the kernel was first seen: what is older waited through a restart of the machine. */
  readonly kernelSinceMs: number;

  /** @param first what the queue noted of this run of the kernel before; @param latestMs the latest running time that it knows of */
  constructor(kernel: KernelTime, first: RunningMark | undefined, latestMs: number) {
    this.#kernel = kernel;
    const mark = first ?? { runMs: latestMs, uptimeMs: kernel.uptimeMs() };
    this.#baseMs = mark.runMs - mark.uptimeMs;
    this.kernelSinceMs = Math.floor(mark.runMs);
  }

  now(): number {
    return Math.round(this.#baseMs + this.#kernel.uptimeMs());
  }

  mark(): RunningMark {
    return { runMs: this.now(), uptimeMs: Math.round(this.#kernel.uptimeMs()) };
  }

  /** How long something waited since `runMs`; undefined where the machine was restarted in between (rule 10). */
  ageMs(runMs: number): number | undefined {
    const now = this.now();
    return runMs < this.kernelSinceMs || runMs > now ? undefined : now - runMs;
  }
}

/** Uptime is asked of the kernel once a second and carried on by the process's own monotonic clock in between: asking costs 5 µs. */
const askEveryMs = 1000;

export function systemKernelTime(): KernelTime {
  let asked = { uptimeMs: uptime() * 1000, at: performance.now() };
  return {
    boot: kernelBootId(),
    uptimeMs() {
      const now = performance.now();
      // the machine's sleep counts in the one and not in the other
      if (now - asked.at > askEveryMs) asked = { uptimeMs: Math.max(uptime() * 1000, asked.uptimeMs + now - asked.at), at: now };
      return asked.uptimeMs + now - asked.at;
    },
  };
}

function kernelBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    // a system that does not say: each start of the gateway counts as a restart of the machine
    return crypto.randomUUID();
  }
}
