import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Random } from "../random.ts";
import type { CutReport } from "./block-log.ts";
import { detach, run, unmount } from "./command.ts";
import { type CuttableDisk, type Machine, type Moment, makeMountPoint } from "./cuttable-disk.ts";

const child = fileURLToPath(new URL("./disk-child.ts", import.meta.url));
/** In the midst of writes: a cut waits until so many of them have no flush yet, at the most so long; an idle disk is cut all the same. */
const unflushedAtCut = [1, 1, 2, 3, 5, 8, 16] as const;
const freezeWithinMs = 1500;
/** Time for acknowledgements of what was flushed before the power went to reach their readers. */
const settleMs = 30;

const told = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("ready") }),
  z.object({ kind: z.literal("frozen") }),
  z.object({ kind: z.literal("died") }),
  z.object({
    kind: z.literal("cut"),
    report: z.object({ unflushed: z.int(), kept: z.int(), torn: z.int(), dropped: z.int() }),
  }),
  z.object({
    kind: z.literal("statistics"),
    writes: z.int(),
    flushes: z.int(),
    pending: z.int(),
    durable: z.boolean(),
  }),
]);
type Told = z.infer<typeof told>;

/** ext4 on a loop device on a file that a process of ours serves through FUSE: each block write and each flush passes through its log. */
export class BlockLogDisk implements CuttableDisk {
  readonly method = "log of block writes (ext4 on loop on FUSE), unflushed writes dropped, reordered, torn at 512 bytes";
  readonly path: string;
  readonly #server: ChildProcess;
  readonly #serverFolder: string;
  #loop = "";
  readonly #waiting: { kind: Told["kind"]; resolve: (message: never) => void; reject: (error: Error) => void }[] = [];

  private constructor(server: ChildProcess, serverFolder: string, path: string) {
    this.#server = server;
    this.#serverFolder = serverFolder;
    this.path = path;
    server.on("message", (raw) => {
      const message = told.parse(raw);
      const index = this.#waiting.findIndex(({ kind }) => kind === message.kind);
      if (index >= 0) this.#waiting.splice(index, 1)[0]?.resolve(message as never);
    });
    server.on("exit", (code) => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(`the disk's process ended with ${code}`));
    });
  }

  static async open(folder: string, sizeMiB: number): Promise<BlockLogDisk> {
    const serverFolder = await makeMountPoint(folder, "block-log");
    const path = await makeMountPoint(folder, "disk");
    const server = fork(child, [serverFolder, String(sizeMiB * 1024 * 1024)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    const disk = new BlockLogDisk(server, serverFolder, path);
    try {
      await disk.#next("ready");
      await disk.#attach();
      await run("mkfs.ext4", ["-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", disk.#loop]);
      await disk.#mount();
      return disk;
    } catch (error) {
      await disk[Symbol.asyncDispose]();
      throw error;
    }
  }

  async cut(random: Random, machine: Machine, moment: Moment = random.pick(["any", "amidst"])): Promise<CutReport> {
    const frozen = this.#next("frozen");
    this.#tell({ kind: "arm", pending: random.pick(unflushedAtCut), withinMs: moment === "any" ? 0 : freezeWithinMs });
    await frozen;
    machine.gone?.();
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    // the signal first: whoever waits for the disk in the kernel dies with its answer, before it can acknowledge anything
    const killed = machine.kill();
    const died = this.#next("died");
    this.#tell({ kind: "die" });
    await died;
    await killed;
    await unmount(this.path);
    await run("losetup", ["-d", this.#loop]);
    this.#loop = "";
    const cut = this.#next("cut");
    this.#tell({ kind: "cut", seed: random.integer(0, 0xffffffff) });
    const { report } = await cut;
    await this.#attach();
    await this.#mount();
    return report;
  }

  /**
   * Proves that the device does what a cut relies on: a file's bytes are durable at the disk once fsync returned, and not before.
   * @throws Error when they are not
   */
  async selfTest(): Promise<void> {
    const pattern = `self-test-${process.pid}-${performance.now()}`;
    const file = join(this.path, "self-test");
    await using handle = await open(file, "w");
    await handle.write(pattern);
    const before = await this.statistics(pattern);
    await handle.sync();
    const after = await this.statistics(pattern);
    await rm(file);
    if (before.durable) throw new Error("self-test: bytes were on the disk before any flush");
    if (!after.durable || after.flushes <= before.flushes) throw new Error("self-test: fsync did not bring a flush to the disk");
  }

  async statistics(pattern?: string): Promise<Extract<Told, { kind: "statistics" }>> {
    const statistics = this.#next("statistics");
    this.#tell({ kind: "statistics", pattern });
    return statistics;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#server, "exit");
    await detach(this.path);
    if (this.#loop !== "") await run("losetup", ["-d", this.#loop]).catch(() => {});
    await detach(this.#serverFolder);
    if (this.#server.exitCode === null && this.#server.signalCode === null) {
      this.#server.disconnect();
      await ended;
    }
    await rm(this.path, { recursive: true, force: true });
    await rm(this.#serverFolder, { recursive: true, force: true });
  }

  async #attach(): Promise<void> {
    this.#loop = await run("losetup", ["--direct-io=on", "--find", "--show", join(this.#serverFolder, "disk")]);
  }

  #mount(): Promise<string> {
    return run("mount", ["-t", "ext4", "-o", "noatime", this.#loop, this.path]);
  }

  #tell(message: object): void {
    if (this.#server.connected) this.#server.send(message);
  }

  #next<Kind extends Told["kind"]>(kind: Kind): Promise<Extract<Told, { kind: Kind }>> {
    return new Promise((resolve, reject) => this.#waiting.push({ kind, resolve: resolve as (message: never) => void, reject }));
  }
}
