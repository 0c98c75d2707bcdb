import { expect, it } from "vitest";
import { centralSettings } from "../../central/settings/schema.ts";
import { settingsProblems } from "../../protocol/index.ts";

it("says all that is wrong with settings, names that there are not among it", () => {
  const { error } = centralSettings.safeParse({ dataDir: "central", port: 70_000, prot: 1, hots: 2 });
  const said = error && settingsProblems(error);
  expect(said).toMatch(/^port: [^;]+; there is no setting "prot"; there is no setting "hots"$/);
});
