import type { Continued, Hole } from "../link/wire-log.ts";
import type { Judge, Place } from "./judge.ts";

/** What central was told of messages that will not come. */
export interface Told {
  readonly holes: readonly Hole[];
  readonly epochs: readonly Continued[];
  /** Central's highest watermark of an epoch. */
  watermark(epoch: string): number;
}

export interface Reported {
  /** Acknowledged, not recorded, and inside a range that was reported. */
  readonly reported: number;
  /** Acknowledged, not recorded, and nobody was told. */
  readonly unreported: number;
  readonly findings: readonly string[];
}

interface Range {
  readonly lane: string;
  readonly epoch: string;
  readonly first: number;
  readonly last: number;
}

/**
 * Which of the missing messages lie inside a range that was reported. A sender does not know its messages' sequences, but its messages stand
 * in its order within their lane: a missing one lies between the last recorded before it and the first behind it, and a range has to be
 * there. And no lane misses more than its ranges hold.
 */
export function judgeReported(judge: Judge, told: Told): Reported {
  const outsideOf: string[] = [];
  const ranges: Range[] = [...told.holes, ...lostWithEpochs(told)];
  const room = new Map<string, number>();
  for (const { lane, first, last } of ranges) room.set(lane, (room.get(lane) ?? 0) + last - first + 1);
  let reported = 0;
  let unreported = 0;
  for (const [stream, numbers] of judge.missing()) {
    const lane = judge.book(stream)?.stream.kind === "sample" ? "telemetry" : "transaction";
    const outside = numbers.filter((n) => !isCovered(ranges, before(judge, stream, n), after(judge, stream, n)));
    const covered = numbers.length - outside.length;
    const left = room.get(lane) ?? 0;
    const beyond = Math.max(0, covered - left);
    room.set(lane, Math.max(0, left - covered));
    reported += covered - beyond;
    unreported += outside.length + beyond;
    if (outside.length + beyond > 0) outsideOf.push(`${stream} ${outside.length + beyond} (such as ${outside[0] ?? numbers[0]})`);
  }
  const findings =
    unreported === 0 ? [] : [`${unreported} messages are missing and inside no range that was reported: ${outsideOf.join(", ")}`];
  return { reported, unreported, findings };
}

/** What an epoch says its predecessor had, and central never got. */
function lostWithEpochs(told: Told): Range[] {
  return told.epochs.flatMap(({ lane, predecessor }) => {
    if (!predecessor) return [];
    const first = told.watermark(predecessor.epoch) + 1;
    return predecessor.lastSequence < first ? [] : [{ lane, epoch: predecessor.epoch, first, last: predecessor.lastSequence }];
  });
}

function isCovered(ranges: readonly Range[], from: Place | undefined, to: Place | undefined): boolean {
  return ranges.some(({ epoch, first, last }) => {
    const behind = from === undefined || from.epoch !== epoch || last > from.sequence;
    const ahead = to === undefined || to.epoch !== epoch || first < to.sequence;
    // a range of an epoch that neither neighbour is in lies between them only if an epoch ended there
    const near = from === undefined || to === undefined || from.epoch === epoch || to.epoch === epoch || from.epoch !== to.epoch;
    return behind && ahead && near;
  });
}

function before(judge: Judge, stream: string, n: number): Place | undefined {
  for (let other = n - 1; other >= 0; other--) {
    const place = judge.place(stream, other);
    if (place) return place;
  }
  return undefined;
}

function after(judge: Judge, stream: string, n: number): Place | undefined {
  const published = judge.published(stream);
  for (let other = n + 1; other < published; other++) {
    const place = judge.place(stream, other);
    if (place) return place;
  }
  return undefined;
}
