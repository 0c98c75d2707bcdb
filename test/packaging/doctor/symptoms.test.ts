import { expect, it } from "vitest";
import { startSubject, withoutSymptoms } from "../../../packaging/doctor/symptoms.ts";
import { type CheckFinding, fault, ok, stopping } from "../../../protocol/index.ts";

const failing: CheckFinding = { check: "service", ...fault("it does not stay up", "look", startSubject) };
const stopped: CheckFinding = { check: "service", ...fault("it is stopped", "start it") };
const taken: CheckFinding = { check: "ports", ...stopping("another process listens there", "stop that") };

it("takes a service that does not stay up for a symptom where a finding says itself that it stops every start", () => {
  expect(withoutSymptoms([failing, taken]).map(({ check, level }) => `${level} ${check}`)).toEqual([
    "unchecked service",
    "fault ports",
  ]);
});

it("names it beside a fault that no start fails by", () => {
  const open: CheckFinding = { check: "permissions", ...fault("readable by others: secrets/terminal", "chmod 0600") };
  expect(withoutSymptoms([failing, open])).toEqual([failing, open]);
});

it("names it where there is no cause, and one that a person stopped in any case", () => {
  const fine: CheckFinding = { check: "ports", ...ok("free") };
  expect(withoutSymptoms([failing, fine])).toEqual([failing, fine]);
  expect(withoutSymptoms([stopped, taken])).toEqual([stopped, taken]);
});
