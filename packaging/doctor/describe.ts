import { version } from "../../gateway/version.ts";
import type { CheckFinding, FindingLevel } from "../../protocol/index.ts";
import type { Examined } from "./examine.ts";

export function toJson({ isUnfinished: _, ...examined }: Examined): object {
  return { ...examined, faults: countOf(examined.findings, "fault"), warnings: countOf(examined.findings, "warning") };
}

const words: Readonly<Record<FindingLevel, string>> = { ok: "ok", warning: "warning", fault: "FAULT", unchecked: "not checked" };

/** For a person: a line a finding, what to do below it, and how many of each at the end. */
export function describe({ role, dataDir, findings }: Examined): string {
  const width = Math.max(...findings.map(({ check }) => check.length), 0);
  const lines = findings.flatMap(({ check, level, subject, seen, advice }) => [
    `${words[level].padEnd(11)}  ${check.padEnd(width)}  ${subject === undefined ? "" : `${plain(subject)}: `}${plain(seen)}`,
    ...(advice === undefined ? [] : [`${" ".repeat(15 + width)}${plain(advice)}`]),
  ]);
  const [faults, warnings, left] = [countOf(findings, "fault"), countOf(findings, "warning"), countOf(findings, "unchecked")];
  const count = (number: number, word: string): string => `${number === 0 ? "no" : number} ${word}${number === 1 ? "" : "s"}`;
  const summary = `${count(faults, "fault")}, ${count(warnings, "warning")}${left > 0 ? `, ${left} not checked` : ""}`;
  return [`Plantgate ${version}, ${role} in ${dataDir}`, "", ...lines, "", summary].join("\n");
}

function countOf(findings: readonly CheckFinding[], level: FindingLevel): number {
  return findings.filter((each) => each.level === level).length;
}

/** What others wrote moves no cursor and colours nothing. */
function plain(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ");
}
