import { equalDecimals } from "../../../protocol/index.ts";
import type { Evidence, Fields, Sample, Sent } from "./evidence.ts";

export interface Finding {
  readonly kind: "lost" | "duplicate" | "reordered" | "unexplained" | "sample-lost";
  /** The message's name, or the series and instant of a sample. */
  readonly what: string;
  /** Where it is missing, twice or in the wrong place. */
  readonly where: string;
  readonly why: string;
}

export interface Verdict {
  readonly business: {
    readonly sent: number;
    readonly recorded: number;
    readonly delivered: number;
    readonly lost: number;
    readonly duplicates: number;
    readonly reordered: number;
  };
  readonly samples: { readonly accepted: number; readonly recorded: number; readonly lost: number; readonly gaps: number };
  /** Sent, and neither acknowledged nor recorded: their senders still hold them. */
  readonly open: number;
  readonly findings: readonly Finding[];
}

/**
 * Compares what the systems around say with what central holds. A message is lost when it was acknowledged and central lacks it or holds
 * it changed, or when a receiver never felt it; `lost` counts messages, not places.
 */
export function judge(evidence: Evidence): Verdict {
  const { sent, recorded, effects } = evidence;
  const findings: Finding[] = [];
  const positions = new Map<string, number>();
  const held = new Map(recorded.map((message) => [message.key, message]));
  for (const { key, position } of recorded) {
    if (positions.has(key))
      findings.push({
        kind: "duplicate",
        what: key,
        where: "central",
        why: `recorded at ${positions.get(key)} and again at ${position}`,
      });
    else positions.set(key, position);
  }

  const felt = new Map<string, { index: number; where: string }>();
  effects.forEach(({ key, receiver, where }, index) => {
    const name = effectName(receiver, key);
    const before = felt.get(name);
    if (before)
      findings.push({
        kind: "duplicate",
        what: key,
        where: receiver,
        why: `took effect at ${before.where} and again at ${where}`,
      });
    else felt.set(name, { index, where });
  });

  let open = 0;
  let delivered = 0;
  const known = new Set<string>();
  for (const message of sent) {
    known.add(message.key);
    const copy = held.get(message.key);
    if (!copy && !message.acked) {
      open += 1;
      continue;
    }
    if (!copy)
      findings.push({
        kind: "lost",
        what: message.key,
        where: "central",
        why: `acknowledged to ${message.sender} (${message.where}) and not recorded`,
      });
    else {
      const changed = firstDifference(message.fields, copy.fields);
      if (changed) findings.push({ kind: "lost", what: message.key, where: "central", why: `${changed} (${message.where})` });
    }
    for (const receiver of message.receivers) {
      if (felt.has(effectName(receiver, message.key))) delivered += 1;
      else
        findings.push({
          kind: "lost",
          what: message.key,
          where: receiver,
          why: `sent by ${message.sender} (${message.where}) and never took effect`,
        });
    }
  }
  for (const key of positions.keys()) {
    if (!known.has(key))
      findings.push({ kind: "unexplained", what: key, where: "central", why: "recorded, and no system says it sent it" });
  }
  const addressed = new Set(sent.flatMap(({ key, receivers }) => receivers.map((receiver) => effectName(receiver, key))));
  for (const { key, receiver, where } of effects) {
    if (!addressed.has(effectName(receiver, key)))
      findings.push({
        kind: "unexplained",
        what: key,
        where: receiver,
        why: `took effect (${where}), and no system says it sent it`,
      });
  }

  findings.push(...outOfOrder(sent, "central", ({ key }) => positions.get(key)));
  for (const receiver of new Set(effects.map((effect) => effect.receiver))) {
    findings.push(...outOfOrder(sent, receiver, ({ key }) => felt.get(effectName(receiver, key))?.index));
  }

  const samples = judgeSamples(evidence.samples);
  findings.push(...samples.findings);
  const count = (kind: Finding["kind"]): number =>
    new Set(findings.filter((finding) => finding.kind === kind).map(({ what }) => what)).size;
  return {
    business: {
      sent: sent.length,
      recorded: positions.size,
      delivered,
      lost: count("lost"),
      duplicates: findings.filter(({ kind }) => kind === "duplicate").length,
      reordered: findings.filter(({ kind }) => kind === "reordered").length,
    },
    samples: samples.counts,
    open,
    findings,
  };
}

/** True when nothing speaks against the run. */
export function isClean(verdict: Verdict): boolean {
  return verdict.findings.length === 0;
}

/** Of one sender and one ordering key, whatever stands behind a message that was sent later. */
function outOfOrder(sent: readonly Sent[], where: string, placeOf: (message: Sent) => number | undefined): Finding[] {
  const latest = new Map<string, { place: number; key: string }>();
  const findings: Finding[] = [];
  for (const message of sent) {
    const place = placeOf(message);
    if (place === undefined) continue;
    const series = `${message.sender}\n${message.orderKey}`;
    const before = latest.get(series);
    if (before && before.place > place) {
      findings.push({
        kind: "reordered",
        what: message.key,
        where,
        why: `sent after ${before.key} of ${message.orderKey}, and stands before it`,
      });
    } else latest.set(series, { place, key: message.key });
  }
  return findings;
}

function firstDifference(sent: Fields, held: Fields): string | undefined {
  for (const [name, value] of Object.entries(sent)) {
    const there = held[name];
    if (there === value || (there !== undefined && isDecimal(there) && isDecimal(value) && equalDecimals(there, value))) continue;
    return `${name} was sent as ${value} and is ${there ?? "missing"}`;
  }
  return undefined;
}

function isDecimal(text: string): boolean {
  return /^-?\d{1,17}(\.\d{1,12})?$/.test(text);
}

function effectName(receiver: string, key: string): string {
  return `${receiver}\n${key}`;
}

function judgeSamples({ accepted, set, recorded, gaps, until }: Evidence["samples"]): {
  counts: Verdict["samples"];
  findings: Finding[];
} {
  const held = new Map<string, string>();
  const firstAt = new Map<string, string>();
  for (const { series, at, value } of recorded) {
    held.set(`${series}\n${at}`, value);
    const first = firstAt.get(series);
    if (first === undefined || at < first) firstAt.set(series, at);
  }
  const gapsOf = Map.groupBy(gaps, (gap) => gap.series);
  // nobody listened before the first recorded value of a series, unless none was recorded at all
  const handedOut = set.filter(
    ({ series, at }) =>
      at >= (firstAt.get(series) ?? "") &&
      (until === undefined || at <= until) &&
      !(gapsOf.get(series) ?? []).some((gap) => at > gap.after && at < gap.until),
  );
  const expected: readonly Sample[] = [...accepted, ...handedOut];
  const findings: Finding[] = [];
  for (const { series, at, value } of expected) {
    const there = held.get(`${series}\n${at}`);
    if (there === value) continue;
    const why = there === undefined ? "taken over and not recorded" : `was ${value} and is ${there}`;
    findings.push({ kind: "sample-lost", what: `${series} ${at}`, where: "central", why });
  }
  const inTime = [...held.keys()].filter((name) => until === undefined || name.slice(name.indexOf("\n") + 1) <= until).length;
  return { counts: { accepted: expected.length, recorded: inTime, lost: findings.length, gaps: gaps.length }, findings };
}
