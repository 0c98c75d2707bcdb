import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { CentralFacts, centralChecks } from "../../../central/doctor/doctor.ts";
import { Facts, gatewayChecks } from "../../../gateway/doctor/doctor.ts";
import { machineChecks } from "../../../packaging/doctor/doctor.ts";
import { type Check, systemClock } from "../../../protocol/index.ts";

const place = {
  dataDir: "/nowhere",
  holder: undefined,
  ntp: async () => undefined,
  whyNotListen: async () => undefined,
  said: undefined,
  isService: false,
  listeners: undefined,
  clock: systemClock,
};
const { asCaller, asOwner } = machineChecks({
  ...{ role: "gateway", dataDir: "/nowhere", here: undefined, root: "/", pid: undefined, clock: systemClock },
  isReady: () => false,
  runningVersion: async () => undefined,
});
const gateway = gatewayChecks(
  new Facts({ ...place, machineSecrets: new Map(), authorities: undefined, nameServers: async () => undefined }),
);
const central = centralChecks(new CentralFacts({ ...place, consoleDir: undefined }));

it("has every check in its page, with what it looks at", () => {
  const page = readFileSync(new URL("../../../packaging/docs/doctor.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)` \| (machine|gateway|central) \| (.+) \|$/gm)].map(([, name, of, about]) => [
    of,
    name,
    about,
  ]);
  const of = (kind: string, checks: readonly Check[]) => checks.map(({ name, about }) => [kind, name, about]);
  expect(rows).toEqual([...of("machine", [...asCaller, ...asOwner]), ...of("gateway", gateway), ...of("central", central)]);
});

it("ends within half a minute, whatever does not answer", () => {
  const longest = (checks: readonly Check[]): number => Math.max(...checks.map(({ limitMs }) => limitMs));
  // what is asked as the caller comes first; before it the folder has to answer
  for (const role of [gateway, central]) expect(longest(asCaller) + longest([...asOwner, ...role])).toBeLessThan(30_000);
});
