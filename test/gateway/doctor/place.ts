import { Facts, gatewayChecks, type Place } from "../../../gateway/doctor/doctor.ts";
import { type CheckFinding, runChecks, systemClock } from "../../../protocol/index.ts";

/** What the doctor is told of a gateway that is stopped, and of which nothing is known. */
export const emptyPlace: Place = {
  dataDir: "/nonexistent",
  holder: undefined,
  said: undefined,
  isService: false,
  machineSecrets: new Map<string, "filled" | "empty">(),
  listeners: undefined,
  whyNotListen: async () => undefined,
  authorities: undefined,
  clock: systemClock,
  nameServers: async () => undefined,
  ntp: async () => undefined,
};

/** Some of a gateway's checks, where some of what they rest on is known already. */
export function look(
  names: readonly string[],
  { place = {}, known = {} }: { readonly place?: Partial<Place>; readonly known?: Partial<Facts> },
): Promise<CheckFinding[]> {
  const facts = Object.assign(new Facts({ ...emptyPlace, ...place }), known);
  return runChecks(
    gatewayChecks(facts).filter(({ name }) => names.includes(name)),
    systemClock,
  );
}

/** As they are named: level, check, subject, and what was seen. */
export const said = (findings: readonly CheckFinding[]): string[] =>
  findings.map(({ level, check, subject, seen }) => [level, check, subject ?? "", seen].join("|"));
