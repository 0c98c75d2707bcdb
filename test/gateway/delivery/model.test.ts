import fc from "fast-check";
import { afterEach, beforeEach, it, vi } from "vitest";
import { temporaryFolder } from "../../support/folder.ts";
import { check, checkCalm } from "./model/check.ts";
import type { Fate } from "./model/peer.ts";
import type { Effect, Effects, Rules } from "./model/plant.ts";
import { connectors, type Poison, type Step, Subject } from "./model/subject.ts";

const runs = Number(process.env.PLANTGATE_MODEL_RUNS ?? 40);

const ms = fc.constantFrom(1, 3, 40, 900);
const fate: fc.Arbitrary<Fate> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("done" as const),
      ms,
      says: fc.constantFrom(null, 0, 2, 50, 4900, 7000),
      yes: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("busy" as const, "refused" as const), ms }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("silent" as const), ms, effect: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: "away" }) },
);
const rules: fc.Arbitrary<Rules> = fc.record({
  onExhausted: fc.constantFrom("block", "park"),
  attempts: fc.constantFrom(1, 3),
  hasLine: fc.boolean(),
  moved: fc.boolean(),
});
const effect = fc.constantFrom<Effect>("idempotent", "checkable", "once");
const effects: fc.Arbitrary<Effects> = fc.record({
  warehouse: effect,
  line: effect,
  terminal: effect,
  command: effect,
  answeredCommand: effect,
});
const peer = fc.nat(connectors.length - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("receive" as const),
      what: fc.constantFrom("order", "plan", "command"),
      key: fc.nat(2),
      count: fc.integer({ min: 1, max: 3 }),
      poison: fc.oneof(
        { weight: 5, arbitrary: fc.constant(null) },
        { weight: 1, arbitrary: fc.constantFrom<Poison>("busy", "away", "refused") },
      ),
      waitedMs: fc.constantFrom(0, 0, 50_000, 100_000),
      again: fc.constantFrom(false, false, false, true),
      dated: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("script" as const),
      peer,
      fates: fc.array(fate, { minLength: 1, maxLength: 8 }),
      asked: fc.array(fc.boolean(), { maxLength: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("turn" as const), peer, up: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("crash" as const), offMs: fc.constantFrom(0, 500, 40_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reboot" as const), offMs: fc.constantFrom(500, 40_000, 90_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clock" as const), years: fc.constantFrom(-30, 30) }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1, 2, 3, 5, 8, 50, 600, 6000, 30_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("link" as const), up: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("decide" as const),
      which: fc.nat(5),
      decision: fc.constantFrom("retry", "done", "discard"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("configure" as const), rules }) },
);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

async function live(given: Effects, first: Rules, steps: readonly Step[]): Promise<void> {
  using folder = temporaryFolder();
  const subject = new Subject(folder.path, given, first);
  try {
    await subject.start();
    for (const each of steps) {
      await subject.apply(each);
      check(subject);
    }
    await subject.calm();
    check(subject);
    checkCalm(subject);
  } finally {
    subject.close();
  }
}

it("delivers each message once and in the order of its key, or says what became of it, whatever happens (P2, P3, P4, P10)", async () => {
  await fc.assert(fc.asyncProperty(effects, rules, fc.array(step, { minLength: 2, maxLength: 25 }), live), { numRuns: runs });
}, 900_000);
