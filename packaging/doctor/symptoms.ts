import { type CheckFinding, unchecked } from "../../protocol/index.ts";

/** The subject of a service's finding that says that it was started and did not stay up. */
export const startSubject = "start";

/** A service that does not stay up while something stops every start is a symptom: the cause is named, and the service is looked at again after it. */
export function withoutSymptoms(findings: readonly CheckFinding[]): CheckFinding[] {
  const cause = findings.find(({ level, stopsStart }) => level === "fault" && stopsStart);
  if (!cause) return [...findings];
  return findings.map((each) =>
    each.check === "service" && each.level === "fault" && each.subject === startSubject
      ? { check: each.check, ...unchecked(`${each.seen}; see ${cause.check}, which stops it`) }
      : each,
  );
}
