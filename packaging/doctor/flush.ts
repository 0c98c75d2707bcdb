import { randomUUID } from "node:crypto";
import { type FileHandle, open as openFile, readFile, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { diskIsFull } from "../../gateway/doctor/disk.ts";
import { type Clock, describeError, type Finding, fault, ok, stopping, unchecked, warning } from "../../protocol/index.ts";
import type { Machine } from "./machine.ts";

const writes = 40;
/** What else runs just now slows a disk for a moment: the best of so many rounds is judged, and a good one is enough. */
const rounds = 4;
const blockBytes = 4096;
/** Of one round: a disk that is so slow is judged by the flushes that it made. */
const roundMs = 2000;
/** No round begins after that. */
const budgetMs = 7000;
/** A flush that takes longer is not waited for: with the round before it and the budget that stays below the check's limit. */
const longestMs = 4000;
/** Of half of them: what else the machine does holds up single ones, also on a good disk. */
const slowMs = 20;
const uselessMs = 100;
/** One of 20 that takes so long in every round is no matter of what else the machine does. */
const stallMs = 1000;

/** Whether the data folder's file system keeps what it confirms, and how long that takes. */
export async function checkFlush({ dataDir, clock }: Pick<Machine, "dataDir" | "clock">, open = openFile): Promise<Finding[]> {
  const mount = await mountOf(dataDir);
  const kind = mount && judgeMount(mount);
  if (kind?.level === "fault") return [kind];
  let best: Measured & { readonly kind: "measured" } = {
    kind: "measured",
    p50: Number.POSITIVE_INFINITY,
    p95: Number.POSITIVE_INFINITY,
  };
  const end = clock.monotonic() + budgetMs;
  for (let round = 0; round < rounds && (best.p50 > slowMs || best.p95 > stallMs) && clock.monotonic() < end; round++) {
    const measured = await measure(dataDir, { clock, open });
    if (measured.kind === "hangs") return [...(kind ? [kind] : []), hangs(clock.monotonic() - measured.since)];
    if (measured.kind === "failed") return [...(kind ? [kind] : []), await judgeFailure(measured.error, dataDir)];
    best = { kind: "measured", p50: Math.min(best.p50, measured.p50), p95: Math.min(best.p95, measured.p95) };
  }
  const seen = `a flush of 4 KiB takes ${ms(best.p50)} (half of them), ${ms(best.p95)} (19 of 20)`;
  const speed =
    best.p50 > uselessMs
      ? fault(seen, advice)
      : best.p50 > slowMs || best.p95 > stallMs
        ? warning(seen, advice)
        : ok(`${mount?.type ?? ""} ${seen}`.trim());
  return kind ? [kind, speed] : [speed];
}

const advice =
  "A disk of its own, an SSD or a controller with a battery; every message waits for a flush before it is acknowledged";

function hangs(forMs: number): Finding {
  const seen = `a flush of 4 KiB takes longer than ${Math.floor(forMs / 1000)} s: it was not waited for`;
  return { ...fault(seen, `Look at dmesg and at the disk. ${advice}`), isUnfinished: true };
}

type Measured =
  | { readonly kind: "measured"; readonly p50: number; readonly p95: number }
  | { readonly kind: "hangs"; readonly since: number }
  | { readonly kind: "failed"; readonly error: unknown };

async function measure(
  dataDir: string,
  { clock, open }: { readonly clock: Clock; readonly open: typeof openFile },
): Promise<Measured> {
  const now = (): number => clock.monotonic();
  const file = join(dataDir, `.doctor-${randomUUID()}`);
  let handle: FileHandle | undefined;
  let hangs = false;
  try {
    handle = await open(file, "wx", 0o600);
    const block = Buffer.alloc(blockBytes, 0x5a);
    const [times, others]: [number[], number[]] = [[], []];
    const roundEnd = now() + roundMs;
    for (let index = 0; index < writes && now() < roundEnd; index++) {
      const asked = now();
      await handle.stat();
      const before = now();
      others.push(before - asked);
      const flushed = handle.write(block, 0, blockBytes, index * blockBytes).then(() => handle?.sync());
      flushed.catch(() => {});
      const over = new AbortController();
      const late = clock.sleep(longestMs, over.signal).then(() => "late" as const);
      const first = await Promise.race([flushed, late]).finally(() => over.abort());
      if (first === "late") {
        hangs = true;
        return { kind: "hangs", since: before };
      }
      times.push(now() - before);
    }
    // a call that touches no disk waits as long for a processor
    const at = (share: number): number => Math.max(0, rank(times, share) - rank(others, share));
    return { kind: "measured", p50: at(0.5), p95: at(0.95) };
  } catch (error) {
    return { kind: "failed", error };
  } finally {
    // its name goes first: whoever is ended while a flush hangs leaves nothing behind
    if (handle) await withinPatience(clock, rm(file, { force: true }));
    const closed = handle?.close().catch(() => {});
    if (!hangs) await closed;
  }
}

function rank(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
}

/** To take a name away may hang as well. */
async function withinPatience(clock: Clock, work: Promise<void>): Promise<void> {
  const over = new AbortController();
  await Promise.race([work.catch(() => {}), clock.sleep(2000, over.signal)]);
  over.abort();
}

async function judgeFailure(error: unknown, dataDir: string): Promise<Finding> {
  const { code } = error as NodeJS.ErrnoException;
  // room that is counted as free is judged by the disk's own check, which sees neither a quota nor what a file system keeps for itself
  if ((code === "ENOSPC" || code === "EDQUOT") && !(await diskIsFull(dataDir)))
    return fault(
      `4 KiB cannot be written to ${dataDir}, though its file system says that there is room: ${describeError(error)}`,
      "A quota that is used up does that (repquota -a; xfs_quota -x -c report; zfs get quota), or metadata of btrfs (btrfs filesystem usage): raise the quota or make room",
    );
  // each of these has a check of its own
  if (code === "ENOSPC" || code === "EDQUOT") return unchecked("the disk has no room for a probe");
  if (code === "EACCES" || code === "EPERM") return unchecked("the folder cannot be written to: a matter of permissions");
  if (code === "ENOENT") return unchecked("there is no such folder");
  if (code === "EROFS")
    return stopping(
      `the file system of ${dataDir} is read-only`,
      "The kernel does that after errors of a disk: look at dmesg, check the disk, then mount -o remount,rw",
    );
  return fault(`writing to ${dataDir} fails: ${describeError(error)}`, "Look at dmesg, and check the disk");
}

interface Mount {
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** Undefined where nobody can tell. */
async function mountOf(folder: string): Promise<Mount | undefined> {
  try {
    const path = await realpath(folder);
    const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").flatMap(parseMount);
    // of several at one point the last one is seen
    return mounts
      .filter(({ point }) => point === "/" || path === point || path.startsWith(`${point}/`))
      .reduce<Mount | undefined>((best, each) => (!best || each.point.length >= best.point.length ? each : best), undefined);
  } catch {
    return undefined;
  }
}

/** proc(5): `36 35 98:0 /root /point options optional… - type source superOptions` */
function parseMount(line: string): Mount[] {
  const [left, right] = line.split(" - ");
  const [, , , , point, options] = (left ?? "").split(" ");
  const [type, , more] = (right ?? "").split(" ");
  if (point === undefined || type === undefined) return [];
  const plain = point.replaceAll(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
  return [{ point: plain, type, options: `${options ?? ""},${more ?? ""}`.split(",") }];
}

function judgeMount({ point, type, options }: Mount): Finding | undefined {
  const where = `the data lies on ${type} (${point})`;
  if (type === "tmpfs" || type === "ramfs")
    return fault(`${where}: it is in memory, and gone with the next restart`, "Put the data folder on a disk");
  if (options.includes("volatile"))
    return fault(`${where}, mounted volatile: a flush does nothing`, "Mount it without that option");
  if (/^(nfs|nfs4|cifs|smb3|smbfs|9p|ceph|glusterfs|afs|fuse\..*)$/.test(type))
    return warning(
      `${where}: whether a flush there outlives a power cut, and locks hold, is up to the other side`,
      "Put the data folder on a local disk",
    );
  if (options.includes("nobarrier") || options.includes("barrier=0"))
    return warning(`${where}, mounted without barriers: a power cut may take back what was flushed`, "Mount it with barriers");
  return undefined;
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
