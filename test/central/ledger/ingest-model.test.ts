import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { IngestOutcome } from "../../../central/ledger/ingest.ts";
import type { HoleReason } from "../../../protocol/index.ts";
import { type Batch, TestLane } from "../../support/gateway-client.ts";
import { beginSession, hastyClock, headOf, type Ledger, openLedger, readAll } from "../../support/ledger.ts";
import { sample } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

/**
 * What may happen to a lane between its gateway and central. `send`: some batches of whole frames and holes, in any order, each any
 * number of times, all at once. `clone`: another history under the same numbers.
 */
type Move =
  | { readonly kind: "append"; readonly count: number }
  | { readonly kind: "discard"; readonly from: number; readonly entries: number; readonly reason: HoleReason }
  | {
      readonly kind: "send";
      readonly from: number;
      readonly entries: number;
      readonly batches: number;
      readonly order: readonly number[];
    }
  | { readonly kind: "clone"; readonly back: number };

const moves = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("append" as const), count: fc.integer({ min: 1, max: 4 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant("discard" as const),
        from: fc.nat(),
        entries: fc.integer({ min: 1, max: 3 }),
        reason: fc.constantFrom<HoleReason>("size", "age", "disk", "damaged"),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant("send" as const),
        from: fc.nat(),
        entries: fc.integer({ min: 1, max: 3 }),
        batches: fc.integer({ min: 1, max: 3 }),
        order: fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 4 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("clone" as const), back: fc.integer({ min: 1, max: 3 }) }) },
  ),
  { minLength: 1, maxLength: 14 },
);

/** What central should hold: for each sequence of the epoch an event's id, or the reason why it never comes. */
class Reference {
  readonly held: string[] = [];
  get watermark(): number {
    return this.held.length;
  }
}

describe.each(await storages())("on %s", (kind) => {
  it("records each message once, in its order and under its number, whatever is lost, doubled, reordered or discarded on the way", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target, hastyClock(100));
    await fc.assert(
      fc.asyncProperty(moves, async (given) => {
        const site = `plant-${randomUUID()}`;
        const lane = new TestLane(site, "telemetry", { epoch: randomUUID() });
        const session = await beginSession(ledger, site, [lane]);
        const gateway = { ids: [] as string[] };
        const reference = new Reference();
        for (const move of given) await make(move, { ledger, site, session, lane, gateway, reference });
        await check(ledger, site, lane, reference);
      }),
      { numRuns: kind === "sqlite" ? 300 : 80, endOnFailure: true },
    );
  });
});

interface Scene {
  readonly ledger: Ledger;
  readonly site: string;
  readonly session: string;
  readonly lane: TestLane;
  /** What the gateway has under each number: an event's id, or a reason. */
  readonly gateway: { ids: string[] };
  readonly reference: Reference;
}

async function make(move: Move, scene: Scene): Promise<void> {
  const { lane, gateway, site } = scene;
  if (move.kind === "append") {
    const events = Array.from({ length: move.count }, (_, index) => sample(site, index, { id: randomUUID() }));
    lane.append(events);
    gateway.ids.push(...events.map(({ id }) => id));
    return;
  }
  const { starts } = lane;
  if (starts.length === 0) return;
  const ends = [...starts.slice(1).map((start) => start - 1), lane.last];
  if (move.kind === "discard") {
    const first = move.from % starts.length;
    const last = Math.min(first + move.entries - 1, starts.length - 1);
    const [from, to] = [starts[first] as number, ends[last] as number];
    lane.discard(from, to, move.reason);
    gateway.ids.fill(move.reason, from - 1, to);
    return;
  }
  if (move.kind === "clone") {
    await sendClone(move.back, scene);
    return;
  }
  const batches: Batch[] = [];
  for (let at = move.from % starts.length; at < starts.length && batches.length < move.batches; at += move.entries) {
    const last = Math.min(at + move.entries - 1, starts.length - 1);
    batches.push(lane.batch(starts[at], ends[last]));
  }
  const chosen = move.order.map((place) => batches[place % batches.length] as Batch);
  const outcomes = await Promise.all(chosen.map((batch) => record(scene, batch)));
  apply(scene, chosen, outcomes);
}

const record = ({ ledger, site, session, lane }: Scene, batch: Batch): Promise<IngestOutcome> =>
  ledger.ingest.record(headOf(site, session, lane, batch), batch.body);

/** All that can be recorded is; what is sent without what comes before it is a gap. Central's word is the watermark behind all of it. */
function apply({ reference, gateway }: Scene, batches: readonly Batch[], outcomes: readonly IngestOutcome[]): void {
  for (let moved = true; moved; ) {
    moved = false;
    for (const batch of batches) {
      const last = batch.firstSequence + batch.count - 1;
      if (batch.firstSequence > reference.watermark + 1 || last <= reference.watermark) continue;
      for (let sequence = reference.watermark + 1; sequence <= last; sequence++)
        reference.held.push(gateway.ids[sequence - 1] as string);
      moved = true;
    }
  }
  for (const [index, outcome] of outcomes.entries()) {
    const batch = batches[index] as Batch;
    const last = batch.firstSequence + batch.count - 1;
    if (batch.firstSequence > reference.watermark + 1) expect(outcome).toEqual({ kind: "gap", watermark: reference.watermark });
    else {
      expect(outcome).toMatchObject({ kind: "recorded" });
      expect((outcome as { watermark: number }).watermark).toBeGreaterThanOrEqual(last);
    }
  }
}

/** A copy of the gateway that recorded other messages: under numbers that central has, nothing of it may be taken. */
async function sendClone(back: number, scene: Scene): Promise<void> {
  const { site, lane, reference } = scene;
  const clone = new TestLane(site, "telemetry", { epoch: lane.epoch });
  const first = Math.max(1, reference.watermark - back);
  if (reference.watermark === 0) return;
  for (let sequence = 1; sequence <= reference.watermark + 1; sequence++) clone.append([sample(site, -sequence)]);
  const outcome = await record(scene, clone.batch(first, reference.watermark + 1));
  expect(outcome).toEqual({ kind: "fork", watermark: reference.watermark });
}

async function check(ledger: Ledger, site: string, lane: TestLane, reference: Reference): Promise<void> {
  while (await ledger.projector.step());
  const found = (await readAll(ledger)).filter((message) => message.site === site);
  const reasons = new Set(["size", "age", "disk", "damaged"]);
  const expected = reference.held.flatMap((id, index) => (reasons.has(id) ? [] : [`${index + 1} ${id}`]));
  // each line's sample is of another site's grants: what is refused is counted as well
  const refused = await ledger.storage.selectFrom("quarantine").select(["sequence", "line"]).where("site", "=", site).execute();
  const seen = [
    ...found.map(({ sequence, event }) => `${sequence} ${event.id}`),
    ...refused.map(({ sequence, line }) => `${sequence} ${(JSON.parse(line) as { id: string }).id}`),
  ];
  expect(seen.sort()).toEqual(expected.sort());
  const { lanes } = await ledger.completeness.of(site);
  const lost = reference.held.filter((id) => reasons.has(id)).length;
  expect(lanes).toMatchObject([{ recorded: reference.watermark - lost, lost, missing: 0, waitingForProjection: 0 }]);
  for (const hole of lanes[0]?.holes ?? [])
    for (let sequence = hole.first; sequence <= hole.last; sequence++) expect(reference.held[sequence - 1]).toBe(hole.reason);
  expect(lane.last).toBeGreaterThanOrEqual(reference.watermark);
}
