import type { z } from "zod";
import { rolloutsAnswer, rolloutView } from "../../../central/http/api/rollouts.ts";
import { type Asked, ok, type Reply } from "./answers.ts";
import { ago } from "./fixtures.ts";

export function answerRollouts({ path, parts: [first, second] }: Asked): Reply | undefined {
  if (path === "/v1/rollouts") {
    const done = rollout({
      number: 5,
      change: 10,
      title: "WMS of Gent answers under another name",
      environment: "prod",
      state: "done",
      counts: counts({ healthy: 39, pending: 1 }),
      summary: "39 done, 1 pending",
      endedAt: ago(90_000_000),
    });
    return ok(rolloutsAnswer, { rollouts: [rollout(), done, failed()] });
  }
  if (first === "rollouts" && second) return ok(rolloutView, Number(second) === 3 ? failed() : rollout());
  return undefined;
}

const counts = (given: Partial<Record<string, number>>) => ({
  waiting: 0,
  told: 0,
  watching: 0,
  healthy: 0,
  pending: 0,
  failed: 0,
  "putting-back": 0,
  "put-back": 0,
  ...given,
});

function rollout(changes: Record<string, unknown> = {}): z.infer<typeof rolloutView> {
  const site = (
    name: string,
    state: string,
    reason: string | null = null,
    reported = state === "healthy" || state === "watching" ? 13 : 12,
  ) => ({
    site: name,
    state,
    reason,
    fromRevision: 12,
    toRevision: 13,
    reportedRevision: reported,
    fromVersion: null,
    toVersion: null,
    reportedVersion: null,
    upgrade: null,
    updatedAt: ago(20_000),
  });
  return rolloutView.parse({
    number: 6,
    change: 11,
    release: null,
    title: "Longer retention of samples in the EU",
    environment: "test",
    state: "running",
    wave: 1,
    waves: 3,
    counts: counts({ healthy: 1, watching: 2, told: 1, pending: 1, waiting: 6 }),
    summary: "1 healthy, 3 under way, 1 out of reach, 6 to come",
    reason: null,
    createdAt: ago(400_000),
    updatedAt: ago(1000),
    endedAt: null,
    strategy: {},
    plan: [
      { wave: 0, title: "canary", state: "passed", heldMs: 120_000, windowMs: 120_000, sites: [site("lyon-test", "healthy")] },
      {
        wave: 1,
        title: "10 %",
        state: "watching",
        heldMs: 47_000,
        windowMs: 120_000,
        sites: [
          site("gent-test", "watching"),
          site("porto-test", "watching"),
          site("brno-test", "told"),
          site("vigo-test", "pending", "silent for 14 min"),
        ],
      },
      {
        wave: 2,
        title: "the rest",
        state: "waiting",
        heldMs: 0,
        windowMs: 120_000,
        sites: ["aalen", "turin", "lodz", "graz", "metz", "split"].map((name) => site(`${name}-test`, "waiting")),
      },
    ],
    events: [
      { number: 1, at: ago(400_000), site: "", kind: "started", text: "Began with wave 1 of 3" },
      { number: 2, at: ago(398_000), site: "lyon-test", kind: "told", text: "told revision 13" },
      { number: 3, at: ago(390_000), site: "lyon-test", kind: "watching", text: "reports revision 13" },
      { number: 4, at: ago(270_000), site: "", kind: "passed", text: "Wave 1 held its gate for 2 min" },
      { number: 5, at: ago(60_000), site: "vigo-test", kind: "pending", text: "out of reach for 10 min; goes on without it" },
    ],
    may: {
      pause: { allowed: true },
      abort: { allowed: true },
      resume: { allowed: false, reason: "It is not paused." },
    },
    ...changes,
  });
}

const failed = () =>
  rollout({
    number: 3,
    change: 8,
    title: "Fewer retries towards the scheduler",
    environment: "dev",
    state: "rolled-back",
    wave: 0,
    counts: counts({ "put-back": 1, waiting: 10 }),
    summary: "1 put back, 10 never told",
    reason: "lyon-dev: 4 new dead letters, 0 are allowed",
    endedAt: ago(80_000_000),
  });
