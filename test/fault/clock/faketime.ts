import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installFromDebian } from "../../support/debian.ts";

const places = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`);
let looked: string | undefined;

/** Debian's libfaketime; installed where that is possible (root, apt-get); undefined where it is not. */
export function faketimeLibrary(): string | undefined {
  looked ??= places.find((path) => existsSync(path)) ?? install();
  return looked;
}

function install(): string | undefined {
  installFromDebian("faketime");
  return places.find((path) => existsSync(path));
}

/** The wall clock of one process, its worker threads included; monotonic time is the kernel's own. */
export class WallClock {
  readonly #file: string;
  readonly #library: string;

  constructor(folder: string, name: string, library: string) {
    this.#file = join(folder, `${name}.clock`);
    this.#library = library;
    this.jump(0);
  }

  /** For the process that has this clock. */
  get env(): Record<string, string> {
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      // times of files are the disk's
      NO_FAKE_STAT: "1",
    };
  }

  /** Seconds beside the true time, from now on. */
  jump(seconds: number): void {
    writeFileSync(`${this.#file}.new`, `${seconds < 0 ? "" : "+"}${seconds}\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}

/** The library's shared memory, which stays behind when its process is killed. */
export function removeShared(pids: readonly number[]): void {
  for (const pid of pids)
    for (const name of [`faketime_shm_${pid}`, `sem.faketime_sem_${pid}`]) rmSync(join("/dev/shm", name), { force: true });
}
