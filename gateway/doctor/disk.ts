import { statfs } from "node:fs/promises";
import { defaultQueuePolicy, type Finding, fault, ok, sizeBytes, warning } from "../../protocol/index.ts";
import { ladderSteps } from "../queue/disk.ts";
import type { Facts } from "./facts.ts";

const mebibyte = 1024 * 1024;

/** What the data folder's file system has: room by the queue's own ladder, files, and whether it could hold what the budgets allow. */
export interface Room {
  readonly sizeBytes: number;
  readonly freeBytes: number;
  readonly files: number;
  readonly freeFiles: number;
}

export async function roomOf(dataDir: string): Promise<Room> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(dataDir);
  return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize, files, freeFiles: ffree };
}

/** Whether it is the disk that holds the gateway up. */
export function isFull({ sizeBytes: size, freeBytes, files, freeFiles }: Room): boolean {
  return freeBytes < ladderSteps(size).discarding || (files > 0 && freeFiles < leastFiles);
}

/** The queue's own files, and what is written beside them. */
const leastFiles = 100;

export async function checkDisk(facts: Facts): Promise<Finding[]> {
  const { dataDir } = facts.place;
  const room = await roomOf(dataDir);
  const { sizeBytes: size, freeBytes, files, freeFiles } = room;
  const steps = ladderSteps(size);
  const advice = `Make room on the file system of ${dataDir}; du -xh --max-depth=2 shows what fills it`;
  const free = `${inMib(freeBytes)} of ${inMib(size)} are free`;
  const findings: Finding[] = [];
  if (freeBytes < steps.refusing) findings.push(fault(`${free}: nothing new is taken in below ${inMib(steps.refusing)}`, advice));
  else if (freeBytes < steps.bulkRefused)
    findings.push(
      fault(
        `${free}: batch data is refused below ${inMib(steps.bulkRefused)}, everything below ${inMib(steps.refusing)}`,
        advice,
      ),
    );
  else if (freeBytes < steps.discarding)
    findings.push(fault(`${free}: the oldest samples make room for new ones below ${inMib(steps.discarding)}`, advice));
  if (files > 0 && freeFiles < leastFiles)
    findings.push(fault(`room for ${freeFiles} files more is left (inodes)`, `${advice}; du --inodes counts files`));
  else if (files > 0 && freeFiles < files / 50) findings.push(warning(`${freeFiles} of ${files} inodes are free`, advice));
  findings.push(...(await budgets(facts, room)));
  return findings.length > 0 ? findings : [ok(free)];
}

/** What may still come, beside what lies there already. */
async function budgets(facts: Facts, { sizeBytes: size }: Room): Promise<Finding[]> {
  const policy = (await facts.bundle())?.queue;
  // without a word of a person the budgets are not meant for this disk: the ladder sees to it
  if (!policy) return [];
  const { transaction, bulk, telemetry } = policy.lanes ?? defaultQueuePolicy.lanes;
  const most = [transaction, bulk, telemetry].reduce((sum, { maxBytes }) => sum + sizeBytes(maxBytes), 0);
  if (most <= size) return [];
  return [
    warning(
      `the budgets of the queue's lanes come to ${inMib(most)}, the whole file system has ${inMib(size)}`,
      "Lower them in a policy (queue.lanes), or give the gateway a larger disk: it fills before they do",
    ),
  ];
}

function inMib(bytes: number): string {
  const mib = bytes / mebibyte;
  return mib >= 10_240 ? `${Math.round(mib / 1024)} GiB` : `${Math.round(mib)} MiB`;
}

/** For whoever else is held up by it. @returns false also where nobody can tell */
export async function diskIsFull(dataDir: string): Promise<boolean> {
  try {
    return isFull(await roomOf(dataDir));
  } catch {
    return false;
  }
}
