import { describe, expect, it } from "vitest";
import type { DesiredRevision } from "../../../gateway/agent/bundles.ts";
import { AgentDocuments, type AgentState, type StoredRevision } from "../../../gateway/agent/documents.ts";
import { digestOf } from "../../../gateway/agent/signed-bundle.ts";
import { PlantgateError } from "../../../protocol/index.ts";
import { Random } from "../../fault/random.ts";
import { CentralOfBundles, clockOfWaits, openAgent, Plant } from "../../support/agent.ts";
import { CutDisk, type Survival } from "../../support/cut-disk.ts";

const file = "agent.db";
const watch = { for: "2s", maxDeadLetterShare: 0.05 };
const survivals: readonly Survival[] = ["nothing", "everything", "torn"];

type Wish = Required<DesiredRevision> & {
  readonly isBad?: true /** The next one comes while this one is watched. */;
  readonly isHasty?: true;
};

/** What central wants, one after the other: old → new → newer, a bad one, one that is refused, back to a good one, the same again, and some while others are watched. */
async function openCentral(): Promise<{ central: CentralOfBundles; wishes: readonly Wish[] }> {
  const central = new CentralOfBundles();
  const has = (revision: number, content: string) => central.has(revision, content, { watch });
  const [old, next, newer] = [await has(1, "old"), await has(2, "new"), await has(3, "newer")];
  const bad: Wish = { ...(await has(4, "bad")), isBad: true };
  const refused: Wish = { ...(await has(5, "refused")), isBad: true };
  const hasty: Wish = { ...(await has(6, "hasty")), isHasty: true };
  const other: Wish = { ...(await has(7, "other")), isHasty: true };
  const last = await has(8, "last");
  const wishes = [old, next, newer, newer, bad, newer, refused, next, newer, hasty, refused, hasty, other, next, hasty, last];
  return { central, wishes };
}

function openPlant(disk: CutDisk): Plant {
  const plant = new Plant();
  plant.effects = { bad: { wms: "down" } };
  plant.refuses = (content) => (content === "refused" ? new PlantgateError("CONFIG_INVALID", "no such route") : undefined);
  plant.step = (what) => disk.step(what);
  return plant;
}

/** What was on disk for certain when the power went, and what was being written. */
interface Life {
  readonly noted: readonly AgentState[];
  readonly wish: Wish;
}

/** Lives through the wishes from `from` on, until the power goes or all are dealt with. */
async function live(
  disk: CutDisk,
  central: CentralOfBundles,
  wishes: readonly Wish[],
): Promise<Life & { readonly running: string | undefined }> {
  // a small file, so that it is written anew now and then
  const plant = openPlant(disk);
  const opened = await openAgent({ file, central, plant, clock: clockOfWaits(), documents: { disk, spareBytes: 3000 } });
  let noted: readonly AgentState[] = [await opened.documents.state()];
  const save = opened.documents.saveState.bind(opened.documents);
  opened.documents.saveState = async (state, kept) => {
    noted = [noted[0] as AgentState, state];
    await save(state, kept);
    noted = [state];
  };
  let wish = wishes[0] as Wish;
  const lives = async (): Promise<void> => {
    await opened.start();
    for (wish of wishes) {
      const { digest: wanted } = wish;
      if (!wish.isHasty) await opened.dealsWith(wish);
      else {
        opened.agent.want(wish);
        await opened.sees(({ state, digest, refused }) => [digest, refused?.digest].includes(wanted) && state !== "applying");
      }
    }
  };
  await Promise.race([lives(), disk.gone]);
  opened.kill();
  return { noted, wish, running: plant.running };
}

/** What is found after a cut is one of two states, whole: what was noted, or what was being noted. And what it says is in effect is there. */
async function expectWhole(disk: CutDisk, { noted }: Life): Promise<AgentState> {
  const documents = await AgentDocuments.open(file, { disk });
  const state = await documents.state();
  // but for the first line ever
  if (documents.setAside !== undefined) expect(noted[0]).toEqual({ desired: { revision: 0 } });
  expect(noted.map(plain)).toContainEqual(plain(state));
  for (const stored of [state.trial, state.good, state.before]) {
    if (!stored) continue;
    const jws = await documents.bundle(stored);
    expect(jws && digestOf(jws), `revision ${stored.revision}`).toBe(stored.digest);
  }
  return state;
}

const refused = (central: CentralOfBundles) => central.digest(5);
const plain = (state: AgentState): unknown => JSON.parse(JSON.stringify(state));
const effectOf = ({ trial, good }: AgentState): StoredRevision | undefined => trial ?? good;

/** Starts on what the cut left, with central wanting the same as before, and runs until that is dealt with. */
async function converge(
  disk: CutDisk,
  central: CentralOfBundles,
  state: AgentState,
  { isBad, isHasty: _, ...wish }: Wish,
  cuts: number,
): Promise<void> {
  const plant = openPlant(disk);
  const opened = await openAgent({ file, central, plant, clock: clockOfWaits(), documents: { disk } });
  await opened.agent.resume();
  const found = effectOf(state);
  const resumed = plant.running?.split(":")[0];
  const isGivenBack = state.trial !== undefined && (state.trial.starts >= 2 || state.trial.digest === refused(central));
  expect(resumed).toBe((isGivenBack ? state.good : found)?.revision.toString());
  opened.run();
  await opened.dealsWith(wish);
  const { report } = opened.agent;
  const stays = isBad || (cuts > 1 && report.state === "rolled-back");
  if (!stays) expect([report.reported, report.digest, report.state]).toEqual([wish.revision, wish.digest, "active"]);
  else expect(report).toMatchObject({ refused: wish, state: expect.stringMatching(/^(refused|rolled-back|watching)$/) });
  expect(plant.running?.split(":")[0]).toBe(report.reported === 0 ? undefined : String(report.reported));
  await opened.stop();
  // the same again restarts nothing
  const again = openPlant(disk);
  const last = await openAgent({ file, central, plant: again, clock: clockOfWaits(), documents: { disk } });
  await last.start();
  const applied = again.applied.length;
  const fetched = central.fetched.length;
  await last.dealsWith(wish);
  if (!isBad) expect([again.applied.length, central.fetched.length]).toEqual([applied, fetched]);
  await last.stop();
}

describe("after a power cut at any step", { timeout: 600_000 }, () => {
  it("runs the old revision or the new one, whole, and goes on to what central wants", async () => {
    const { central, wishes } = await openCentral();
    const whole = new CutDisk();
    const { running } = await live(whole, central, wishes);
    expect(running).toBe("8:last");
    expect(whole.steps.filter((step) => step.startsWith("rename")).length).toBeGreaterThan(0);
    for (let cutAt = 1; cutAt <= whole.steps.length; cutAt++) {
      for (const survival of survivals) {
        const disk = new CutDisk(cutAt);
        const life = await live(disk, central, wishes);
        expect(disk.isGone).toBe(true);
        const left = disk.survivor(survival, new Random(cutAt));
        try {
          await converge(left, central, await expectWhole(left, life), life.wish, 1);
        } catch (cause) {
          throw new Error(`cut at step ${cutAt} (${disk.steps.at(-1)}), of what was not flushed ${survival} survives`, { cause });
        }
      }
    }
  });

  const seed = Number(process.env.PLANTGATE_SEED ?? Date.now() % 1_000_000);
  it(`does so a hundred times at random, several cuts in a row (seed ${seed})`, async () => {
    const random = new Random(seed);
    const { central, wishes } = await openCentral();
    const whole = new CutDisk();
    await live(whole, central, wishes);
    for (let run = 0; run < 100; run++) {
      let disk = new CutDisk(random.integer(1, whole.steps.length));
      let left = wishes;
      let state: AgentState | undefined;
      let life: Life | undefined;
      const cuts = random.integer(1, 3);
      try {
        for (let cut = 1; cut <= cuts; cut++) {
          life = await live(disk, central, left);
          disk = disk.survivor(random.pick(survivals), random, cut === cuts ? undefined : random.integer(1, 40));
          state = await expectWhole(disk, life);
          left = wishes.slice(wishes.indexOf(life.wish));
        }
        if (life && state) await converge(disk, central, state, life.wish, cuts);
      } catch (cause) {
        throw new Error(`seed ${seed}, run ${run}`, { cause });
      }
    }
  });
});
