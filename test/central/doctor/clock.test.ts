import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CentralFacts, centralChecks } from "../../../central/doctor/doctor.ts";
import { type Ntp, runChecks, systemClock } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";

it.each<[string, Ntp | undefined, string]>([
  ["is a warning where a file is of a later time", undefined, "warning"],
  ["is right where NTP keeps it, whatever a file says", "kept", "ok"],
])("central's clock %s", async (_, ntp, level) => {
  using folder = temporaryFolder();
  const [file, later] = [join(folder.path, "ledger.db"), new Date(Date.now() + 86_400_000)];
  writeFileSync(file, "");
  utimesSync(file, later, later);
  const facts = new CentralFacts({
    dataDir: folder.path,
    holder: undefined,
    said: undefined,
    isService: false,
    listeners: undefined,
    whyNotListen: async () => undefined,
    consoleDir: undefined,
    clock: systemClock,
    ntp: async () => ntp,
  });
  const clock = centralChecks(facts).filter(({ name }) => name === "clock");
  expect(await runChecks(clock, systemClock)).toMatchObject([
    { level, ...(level === "ok" ? {} : { seen: expect.stringContaining(`ledger.db was written at ${later.toISOString()}`) }) },
  ]);
});
