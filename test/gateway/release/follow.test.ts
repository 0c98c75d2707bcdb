import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { LinkAnswer, LinkRequest } from "../../../gateway/link/transport.ts";
import type { DiskReport } from "../../../gateway/queue/change.ts";
import { ReleaseFollower } from "../../../gateway/release/follow.ts";
import { Incoming } from "../../../gateway/release/incoming.ts";
import { findMachine } from "../../../gateway/release/machine.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type Clock, PlantgateError, type ReleaseOffer, statusReport, systemClock, toProblem } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { until as untilJudged } from "../../support/process.ts";
import { makePackage, type TestPackage } from "../../support/releases.ts";
import { UpdatedFolder } from "../../support/updated-machine.ts";

const deb = "plantgate-gateway_0.2.0_amd64.deb";
const piece = 256 * 1024;
const plenty: DiskReport = { state: "ok", freeBytes: 1e15 };

describe("an upgrade that central wants", () => {
  it("is downloaded piece by piece, and handed to the updater: package, signature, then the request", async () => {
    using world = new World();
    world.start();
    world.want();
    await world.settled("handed-over");
    const { file, version, size, sha256, signature } = world.offer;
    expect(world.machine.request).toEqual({ version, file, size, sha256, signature });
    expect(world.machine.readIncoming(file).equals(world.own.bytes)).toBe(true);
    expect(world.machine.readIncoming(`${file}.sig`).toString()).toBe(`${signature}\n`);
    expect(world.ranges).toEqual([`bytes=0-${piece - 1}`, `bytes=${piece}-${2 * piece - 1}`, `bytes=${2 * piece}-${size - 1}`]);
    expect(world.follower.known).toBe("7.0.2.0");
    expect(world.follower.report).toMatchObject({ platform: `linux-${process.arch}`, installed: "deb" });
  });

  it("is told on from the updater's notes: on trial, kept, given back, refused", async () => {
    using world = new World();
    world.start();
    world.want();
    await world.settled("handed-over");
    world.machine.beginTrial("0.2.0");
    // the version before is about to end
    expect(world.upgrade()).toEqual({ state: "handed-over", version: "0.2.0" });
    await world.restart("0.2.0");
    world.want();
    expect(world.upgrade()).toEqual({ state: "trial", version: "0.2.0" });
    world.machine.decide("0.2.0", "kept");
    expect(world.upgrade()).toEqual({ state: "kept", version: "0.2.0", at: "2026-01-31T08:01:00.000Z" });
    await until(() => world.machine.incoming.length === 0);
  });

  it("that its machine gave back is not tried again, until it is wanted anew", async () => {
    using world = new World();
    world.start();
    world.want();
    await world.settled("handed-over");
    world.machine.beginTrial("0.2.0");
    world.machine.decide("0.2.0", "rolled-back", "it did not become ready");
    await world.restart();
    world.want();
    await world.settled("rolled-back");
    expect(world.upgrade()).toMatchObject({ version: "0.2.0", reason: "it did not become ready" });
    await world.idle();
    expect(world.machine.incoming).toEqual([]);
    world.want({ attempt: "8.0.2.0" });
    await until(() => world.machine.request !== undefined);
    await world.settled("handed-over");
  });

  it("gives way to another one that is wanted meanwhile, and to none", async () => {
    using world = new World();
    world.hold = true;
    world.start();
    world.want();
    await until(() => world.ranges.length === 1);
    const next = makePackage("plantgate-gateway_0.3.0_amd64.deb", 1000);
    world.packages.set(next.file, next);
    world.want({ ...offerOf(next, "0.3.0"), attempt: "9.0.3.0" });
    world.hold = false;
    await until(() => world.machine.request?.version === "0.3.0");
    expect(world.machine.incoming).toEqual([next.file, `${next.file}.sig`, "request.json"]);
    // the updater has not looked yet: it is taken back whole
    world.follower.want(undefined);
    await until(() => world.machine.incoming.length === 0);
    expect(world.upgrade()).toEqual({ state: "none" });
    expect(world.follower.known).toBe("");
    // also for a process that starts later
    await world.restart();
    world.follower.want(undefined);
    await world.idle();
    expect(world.upgrade()).toEqual({ state: "none" });
  });

  it("that the updater has taken is told of, though central wants the version before again: it may be about to run", async () => {
    using world = new World();
    world.start();
    world.want();
    await world.settled("handed-over");
    world.machine.takeRequest();
    const before = makePackage("plantgate-gateway_0.1.0_amd64.deb", 1000);
    world.want({ ...offerOf(before, "0.1.0") });
    await world.idle();
    expect(world.upgrade()).toEqual({ state: "handed-over", version: "0.2.0" });
    // also by a process that starts meanwhile
    await world.restart();
    world.want({ ...offerOf(before, "0.1.0") });
    await world.idle();
    expect(world.upgrade()).toEqual({ state: "handed-over", version: "0.2.0" });
    world.machine.beginTrial("0.2.0");
    world.machine.decide("0.2.0", "rolled-back", "it did not become ready");
    expect(world.upgrade()).toMatchObject({ state: "rolled-back", version: "0.2.0" });
  });

  it("that the updater took and never spoke of again counts for nothing after a quarter of an hour", async () => {
    using world = new World();
    world.start();
    world.want();
    await world.settled("handed-over");
    world.machine.takeRequest();
    world.follower.want(undefined);
    await world.idle();
    expect(world.upgrade()).toEqual({ state: "handed-over", version: "0.2.0" });
    world.slept += 15 * 60_000;
    expect(world.upgrade()).toEqual({ state: "none" });
  });

  it("waits while the disk has no room, and gives up what it had where messages are refused", async () => {
    using world = new World();
    world.hold = true;
    world.start();
    world.want();
    await until(() => world.ranges.length === 1);
    world.hold = false;
    world.disk = { state: "refusing", freeBytes: 1000 };
    await until(() => world.upgrade()?.reason?.startsWith("the disk has no room for it") === true);
    await world.idle();
    expect(world.machine.incoming).toEqual([]);
    expect(world.ranges.length).toBeLessThan(3);
    world.disk = plenty;
    await world.settled("handed-over");
  });

  it("lets transactions pass first, yet not for ever", async () => {
    using world = new World();
    world.isBehind = true;
    world.start();
    world.want();
    await world.settled("handed-over");
    // three pieces, half a minute each
    expect(world.slept).toBeGreaterThanOrEqual(90_000);
  });

  it("keeps to what the configuration allows on the way to central", async () => {
    using world = new World();
    world.bytesPerSecond = 32 * 1024;
    world.start();
    world.want();
    await world.settled("handed-over");
    expect(world.ranges[0]).toBe(`bytes=0-${32 * 1024 - 1}`);
    expect(world.slept).toBeGreaterThanOrEqual((world.own.size / (32 * 1024) - 2) * 1000);
  });

  it("goes on after a link that breaks, behind what is on disk", async () => {
    using world = new World();
    world.script = (_request, call) => {
      if (call === 1 || call === 3) throw new PlantgateError("PEER_UNREACHABLE", "cut");
      return undefined;
    };
    world.start();
    world.want();
    await world.settled("handed-over");
    expect(new Set(world.ranges).size).toBe(3);
    expect(world.ranges.length).toBe(5);
  });

  it("comes in smaller pieces on a way that larger ones do not get through, each kept", async () => {
    using world = new World();
    const sizeOf = ({ headers }: LinkRequest): number => {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(headers?.range ?? "") ?? [];
      return Number(to) - Number(from) + 1;
    };
    world.script = (request) => {
      if (sizeOf(request) > 40_000) throw new PlantgateError("PEER_UNREACHABLE", "not done after 120 s");
      return undefined;
    };
    world.start();
    world.want();
    await world.settled("handed-over");
    expect(world.machine.readIncoming(deb).equals(world.own.bytes)).toBe(true);
  });

  it("moves within the first minutes also on a way of two kilobits a second", async () => {
    using world = new World();
    const moved: number[] = [];
    world.script = (request) => {
      const [from, to] = rangeOf(request);
      const ms = ((to - from + 1) * 8) / 2;
      world.slept += Math.min(ms, 120_000);
      if (ms > 120_000) throw new PlantgateError("PEER_UNREACHABLE", "not done after 120 s");
      moved.push(world.slept);
      return undefined;
    };
    world.start();
    world.want();
    await world.settled("handed-over");
    // an upgrade that does not move is taken back by its rollout after ten minutes
    for (const [index, at] of moved.entries()) expect(at - (moved[index - 1] ?? 0)).toBeLessThan(300_000);
    expect(world.machine.readIncoming(deb).equals(world.own.bytes)).toBe(true);
  });

  it("goes on wherever it was killed, and asks the updater once for what it took", async () => {
    let kills = 0;
    for (let step = 1; ; step++) {
      using world = new World();
      const wasKilled = await world.startAndKill(step);
      if (!wasKilled) break;
      kills += 1;
      await world.restart();
      world.want();
      await world.settled("handed-over");
      expect(world.machine.readIncoming(deb).equals(world.own.bytes), `step ${step}`).toBe(true);
      expect(world.machine.readIncoming(`${deb}.sig`).toString()).toBe(`${world.offer.signature}\n`);
      expect(world.machine.request).toMatchObject({ version: "0.2.0", sha256: world.offer.sha256 });
      // no piece comes twice but the one in which it was killed
      expect(world.ranges.length, `step ${step}`).toBeLessThanOrEqual(4);
    }
    expect(kills).toBeGreaterThanOrEqual(9);
  });

  it("is refused where central gives other bytes, more, fewer, or something that is not the package", async () => {
    const wrong: Record<string, (request: LinkRequest, world: World) => LinkAnswer> = {
      other: (request, world) => ok(206, Buffer.alloc(lengthOf(request, world))),
      fewer: (request, world) => ok(206, world.own.bytes.subarray(0, lengthOf(request, world) - 1)),
      whole: (_request, world) => ok(200, world.own.bytes),
      none: () => ok(206, Buffer.alloc(0)),
      endless: () => {
        throw new PlantgateError("PEER_REFUSED", "central gave more than the bytes that were asked for");
      },
    };
    for (const [name, answer] of Object.entries(wrong)) {
      using world = new World();
      world.script = (request) => answer(request, world);
      world.start();
      world.want();
      await world.settled("refused");
      expect(world.upgrade(), name).toMatchObject({ version: "0.2.0", at: expect.any(String) });
      expect(world.machine.incoming, name).toEqual([]);
      await world.idle();
      const asked = world.ranges.length;
      await world.idle();
      expect(world.ranges.length, name).toBe(asked);
    }
  });

  it("that cannot be understood is refused with why, and hurries no poll", async () => {
    using world = new World();
    world.start();
    world.follower.want({ problem: "file: not the name of a gateway's package" });
    await world.settled("refused");
    expect(world.upgrade()?.reason).toContain("not the name of a gateway's package");
    expect(world.follower.known).toBeUndefined();
    expect(world.ranges).toEqual([]);
    world.want();
    await world.settled("handed-over");
  });

  it("is not followed back to an older version, unless that is meant", async () => {
    using world = new World();
    const older = makePackage("plantgate-gateway_0.0.9_amd64.deb", 1000);
    world.packages.set(older.file, older);
    world.start();
    world.want({ ...offerOf(older, "0.0.9") });
    await world.idle();
    expect(world.ranges).toEqual([]);
    expect(world.upgrade()).toEqual({ state: "none" });
    world.want({ ...offerOf(older, "0.0.9"), attempt: "8", older: true });
    await world.settled("handed-over");
    expect(world.machine.request).toMatchObject({ version: "0.0.9", older: true });
  });

  it("is followed back once central knows from where: its answer before that said nothing of a way back", async () => {
    using world = new World();
    const older = makePackage("plantgate-gateway_0.0.9_amd64.deb", 1000);
    world.packages.set(older.file, older);
    world.start();
    world.want({ ...offerOf(older, "0.0.9") });
    await world.idle();
    expect(world.ranges).toEqual([]);
    world.want({ ...offerOf(older, "0.0.9"), older: true });
    await world.settled("handed-over");
    expect(world.machine.request).toMatchObject({ version: "0.0.9", older: true });
  });

  it("that central takes back in answers is asked for again until another is named", async () => {
    using world = new World();
    world.script = (_request, call) =>
      call < 5 ? { kind: "problem", problem: toProblem("not-found", "not to install it"), retryAfterMs: undefined } : undefined;
    world.start();
    world.want();
    await world.settled("handed-over");
  });

  it("is none on a machine without an updater, or whose updater looks elsewhere", () => {
    using folder = temporaryFolder();
    const machine = new UpdatedFolder(folder.path, "tar");
    expect(findMachine(undefined, machine.dataDir)).toBeUndefined();
    expect(findMachine(machine.installedDir, "/var/lib/elsewhere")).toBeUndefined();
    expect(findMachine(machine.installedDir, machine.dataDir)?.kind).toBe("tar");
  });
});

async function until(is: () => boolean): Promise<void> {
  await untilJudged(is, Boolean);
}

function offerOf({ file, size, sha256, signature }: TestPackage, version: string): ReleaseOffer {
  return { attempt: `7.${version}`, version, file, size, sha256, signature };
}

function ok(status: number, bytes: Uint8Array): LinkAnswer {
  return { kind: "ok", status, body: undefined, text: "", bytes };
}

function rangeOf(request: LinkRequest): [number, number] {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers?.range ?? "") ?? [];
  return [Number(from), Number(to)];
}

function lengthOf(request: LinkRequest, world: World): number {
  const [from, to] = rangeOf(request);
  return Math.min(to, world.own.size - 1) - from + 1;
}

class Killed extends Error {}

/** A folder that dies at its n-th call that writes. */
class CutIncoming extends Incoming {
  readonly #cutAt: number;
  #steps = 0;

  constructor(dataDir: string, cutAt: number) {
    super(dataDir);
    this.#cutAt = cutAt;
  }

  #step(): void {
    if (++this.#steps >= this.#cutAt) throw new Killed("killed");
  }
  override async append(...args: Parameters<Incoming["append"]>): Promise<void> {
    this.#step();
    await super.append(...args);
    this.#step();
  }
  override finish(...args: Parameters<Incoming["finish"]>): void {
    this.#step();
    super.finish(...args);
    this.#step();
  }
  override sign(...args: Parameters<Incoming["sign"]>): void {
    super.sign(...args);
    this.#step();
  }
  override keepNote(...args: Parameters<Incoming["keepNote"]>): void {
    super.keepNote(...args);
    this.#step();
  }
  override request(...args: Parameters<Incoming["request"]>): void {
    super.request(...args);
    this.#step();
  }
}

/** One gateway's follower, on a machine and before a central that the test plays. */
class World {
  readonly #folder = temporaryFolder();
  readonly machine = new UpdatedFolder(this.#folder.path);
  readonly own = makePackage(deb, 2 * piece + 4711);
  readonly offer = offerOf(this.own, "0.2.0");
  readonly packages = new Map([[deb, this.own]]);
  readonly ranges: string[] = [];
  disk = plenty;
  isBehind = false;
  bytesPerSecond: number | undefined;
  /** What central answers instead of what is right. */
  script: (request: LinkRequest, call: number) => LinkAnswer | undefined = () => undefined;
  /** No answer comes meanwhile. */
  hold = false;
  slept = 0;
  follower!: ReleaseFollower;
  #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();
  /** Sleeps take no time, and running time passes by them. */
  readonly #clock: Clock = {
    now: () => systemClock.now(),
    monotonic: () => this.slept,
    sleep: async (ms) => {
      this.slept += ms;
      await setImmediate();
    },
  };

  start(version = "0.1.0", incoming?: Incoming): void {
    this.#stopping = new AbortController();
    const { installedDir, dataDir } = this.machine;
    this.follower = new ReleaseFollower({
      ...{ site: "lyon", version, dataDir, clock: this.#clock },
      log: openLogger({ level: "silent", site: "lyon" }),
      machine: findMachine(installedDir, dataDir),
      session: { online: async () => undefined },
      transport: { send: (request, signal) => this.#answer(request, signal) },
      disk: async () => this.disk,
      isBehind: async () => this.isBehind,
      bytesPerSecond: () => this.bytesPerSecond,
      ...(incoming ? { incoming } : {}),
    });
    this.#running = this.follower.run(this.#stopping.signal);
    this.#running.catch(() => {});
  }

  want(more: Partial<ReleaseOffer> = {}): void {
    this.follower.want({ ...this.offer, ...more });
  }

  /** @returns whether it came so far */
  async startAndKill(step: number): Promise<boolean> {
    this.start("0.1.0", new CutIncoming(this.machine.dataDir, step));
    this.want();
    const killed = this.#running.then(
      () => false,
      (error: unknown) => error instanceof Killed,
    );
    const done = until(() => this.upgrade()?.state === "handed-over").then(() => false);
    return Promise.race([killed, done]);
  }

  async restart(version = "0.1.0"): Promise<void> {
    await this.#stop();
    this.start(version);
  }

  upgrade() {
    const { upgrade } = this.follower.report;
    // as central reads it
    return upgrade && statusReport.shape.upgrade.parse(upgrade);
  }

  settled(state: string): Promise<void> {
    return until(() => this.upgrade()?.state === state);
  }

  /** Whatever would be done is done. */
  async idle(): Promise<void> {
    for (let turn = 0; turn < 50; turn++) await setImmediate();
  }

  async #answer(request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer> {
    this.ranges.push(request.headers?.range ?? "");
    while (this.hold && !signal.aborted) await setImmediate();
    if (signal.aborted) throw new PlantgateError("PEER_UNREACHABLE", "given up");
    const scripted = this.script(request, this.ranges.length);
    if (scripted) return scripted;
    const own = this.packages.get(request.path.split("/").at(-1) ?? "");
    if (!own) return { kind: "problem", problem: toProblem("not-found"), retryAfterMs: undefined };
    const [from, to] = rangeOf(request);
    return ok(206, own.bytes.subarray(from, Math.min(to, own.size - 1) + 1));
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running.catch(() => {});
  }

  [Symbol.dispose](): void {
    this.#stopping.abort();
    this.#folder[Symbol.dispose]();
  }
}
