import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { faketimeLibrary } from "../../fault/clock/faketime.ts";
import { requireService } from "../../support/services.ts";
import { storages } from "../../support/storages.ts";
import { openControlRoom } from "./plant/control-room.ts";
import type { Host } from "./plant/host.ts";
import { openPlant, type Plant } from "./plant/plant.ts";
import { gatewaySeeds, ofControlRoom } from "./seeds/catalogue.ts";
import { revokedSeed } from "./seeds/central.ts";
import { judge } from "./seeds/look.ts";
import { type Seed, stoppedSeed } from "./seeds/seed.ts";
import { pick, randomBy } from "./seeds/sets.ts";

const kinds = await storages();
const library = faketimeLibrary();
const isEquipped = process.getuid?.() === 0 && library !== undefined && (await requireService("mosquitto")) !== undefined;

/** DOCTOR_SETS=200 for a long look, DOCTOR_SEED for the sets of an earlier one, DOCTOR_ALONE=1 for each seed by itself (DOCTOR_ONLY: some of them). */
const sets = Number(process.env.DOCTOR_SETS ?? 2);
const seed = Number(process.env.DOCTOR_SEED ?? (process.env.DOCTOR_SETS === undefined ? 5 : Date.now() % 1_000_000));
const isAlone = process.env.DOCTOR_ALONE !== undefined;
const only = new RegExp(process.env.DOCTOR_ONLY ?? "");
const timeout = isAlone || process.env.DOCTOR_SETS !== undefined ? 2 * 3_600_000 : 10 * 60_000;

/** Beside the random sets: what belongs together by chance, and was taken for one cause, or named at the wrong place. */
const fixed = [
  "the clock is years ahead",
  "the signing key that is pinned is another central's",
  "the name of wms is not known",
  "the name of scheduler is not known",
  "Odoo is away",
  "the tree says another version than its folder",
];

/** Looks at all, and says at the end what was not as it should be. */
async function lookAtSets<On extends Host & Partial<Pick<Plant, "configure">>>(
  machine: On,
  seeds: readonly Seed<On>[],
  of: "installed" | "folder" = "installed",
): Promise<void> {
  const random = randomBy(seed);
  const together = seeds.filter((each) => !each.isAlone);
  const stopped = seeds.filter(({ name }) => name === stoppedSeed);
  const alone = seeds.filter(({ name }) => only.test(name)).map((each) => (each.whileStopped ? [...stopped, each] : [each]));
  const chosen = seeds.filter(({ name }) => fixed.includes(name));
  const wanted = isAlone ? alone : Array.from({ length: sets }, () => pick(together, 6, random));
  if (!isAlone && chosen.length === fixed.length) wanted.push(chosen);
  const wrong: unknown[] = [];
  for (const [index, set] of wanted.entries()) {
    const found = await judge(machine, set, { of });
    if (found.length > 0) wrong.push({ set: index, of: set.map(({ name }) => name), found });
    if (isAlone || process.env.DOCTOR_SETS !== undefined)
      process.stderr.write(
        `${found.length === 0 ? "ok " : "BAD"} ${set.map(({ name }) => name).join("; ")}\n${found.map((each) => `      ${each}\n`).join("")}`,
      );
  }
  expect(wrong, `DOCTOR_SEED=${seed}`).toEqual([]);
}

/** Beside a gateway that is stopped, whose folder nobody else changes; the folder's own time is no file's. */
async function whatItLeaves(plant: Plant): Promise<string> {
  await plant.stop();
  const list = (): string =>
    execFileSync("ls", ["-lAR", "--time-style=full-iso", plant.dataDir], { encoding: "utf8" }).replaceAll(/^total.*$/gm, "");
  const before = list();
  await plant.doctor();
  const after = list();
  await plant.recover();
  return before === after ? "nothing" : after;
}

describe.skipIf(!isEquipped)("plantgate doctor names what is wrong, and nothing else", () => {
  it("of a gateway that a package installed", { timeout }, async () => {
    // a seed of another name would take the set away
    expect(gatewaySeeds.map(({ name }) => name)).toEqual(expect.arrayContaining(fixed));
    await using plant = await openPlant(library as string);
    expect(await judge(plant, [])).toEqual([]);
    await lookAtSets(plant, gatewaySeeds);
    expect(await whatItLeaves(plant)).toBe("nothing");
    // nothing is installed there, as far as it can tell
    await lookAtSets(
      plant,
      gatewaySeeds.filter(({ isOfPackage, whileStopped }) => !isOfPackage && !whileStopped),
      "folder",
    );
    expect(await judge(plant, [revokedSeed], { isLast: true })).toEqual([]);
  });

  it.each(kinds)("of a central on %s", { timeout }, async (storage) => {
    await using room = await openControlRoom(library as string, storage);
    expect(await judge(room, [])).toEqual([]);
    await lookAtSets(room, ofControlRoom(storage));
  });
});
