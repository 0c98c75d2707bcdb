import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChangeView } from "../../../central/http/api/changes.ts";
import { storages } from "../../support/storages.ts";
import { attempts, fresh, inReview } from "./attempts.ts";
import { openPlant, type Plant, quick } from "./plant.ts";

describe.each(await storages())("four eyes on %s", (storage) => {
  let plant: Plant;
  beforeAll(async () => {
    plant = await openPlant(storage);
  });
  afterAll(() => plant.central[Symbol.asyncDispose]());

  it("tries at least fifty ways", () => {
    expect(Object.keys(attempts).length).toBeGreaterThanOrEqual(50);
  });

  it.each(Object.entries(attempts))("refuses: %s", async (_name, { says, tries }) => {
    const before = await plant.prod();
    const { status, body } = await tries(plant);
    expect(status, JSON.stringify(body)).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(`${body.detail} ${JSON.stringify(body.problems ?? "")}`).toMatch(says);
    expect(await plant.prod()).toEqual(before);
  });

  it("lets one of several that approve at the same time through, and one rollout begins", async () => {
    const number = await inReview(plant, plant.ada, { strategy: { ...quick, start: "manual" } });
    const approvals = await Promise.all([plant.approve(plant.ben, number), plant.approve(plant.cleo, number)]);
    expect(approvals.map(({ status }) => status).toSorted()).toEqual([200, 403]);
    const before = (await plant.prod()) as { rollouts: number };
    const starts = await Promise.all([1, 2, 3].map(() => plant.step(plant.ada, number, "start")));
    expect(starts.map(({ status }) => status).toSorted()).toEqual([200, 403, 403]);
    expect(await plant.prod()).toMatchObject({ rollouts: before.rollouts + 1 });
    await plant.ended(number);
  });

  it("lets a proper change through: written by one, read by another, run in test, approved", async () => {
    const before = (await plant.prod()) as { site: { desiredRevision: number }[] };
    const inTest = await plant.write(plant.ada, { environment: "test", files: [plant.template(fresh())] });
    await plant.carryOut(plant.ada, plant.ben, inTest);
    const on = await plant.ada.call<ChangeView>("POST", `/v1/changes/${inTest}/promote`, {
      environment: "prod",
      strategy: quick,
    });
    await plant.carryOut(plant.ada, plant.ben, on.body.number);
    const after = (await plant.prod()) as typeof before;
    expect(after.site[0]?.desiredRevision).toBeGreaterThan(before.site[0]?.desiredRevision ?? 0);
  });
});
