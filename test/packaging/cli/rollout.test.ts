import { expect, it } from "vitest";
import { drawRollout } from "../../../packaging/cli/rollout.ts";

it("a rollout is drawn with a line for each wave and for each site that is not well", () => {
  const site = (name: string, state: string, reason: string | null = null) => ({
    site: name,
    state,
    reason,
    toRevision: 7,
    reportedRevision: state === "healthy" ? 7 : 6,
  });
  const text = drawRollout({
    ...{ number: 3, change: 12, title: "New\u001b[31m scrap codes", environment: "prod", state: "running", wave: 1, waves: 3 },
    ...{ summary: "1 done, 1 watched, 1 pending, 1 waiting", reason: null },
    plan: [
      { wave: 0, title: "canary", state: "passed", heldMs: 0, windowMs: 120_000, sites: [site("lyon", "healthy")] },
      {
        ...{ wave: 1, title: "10 %", state: "watching", heldMs: 61_000, windowMs: 120_000 },
        sites: [site("graz", "watching"), site("porto", "pending", "out of reach for 600 s")],
      },
      { wave: 2, title: "all", state: "waiting", heldMs: 0, windowMs: 120_000, sites: [site("brno", "waiting")] },
    ],
  });
  expect(text.split("\n")).toEqual([
    "rollout 3  running  1 done, 1 watched, 1 pending, 1 waiting",
    "change 12 to prod: New [31m scrap codes",
    "  + wave 1  canary        passed    1 healthy",
    "  > wave 2  10 %          watching  1 watching, 1 pending  gate [#####     ] 61 s of 120 s",
    "  · wave 3  all           waiting   1 waiting",
    "    porto  pending  runs 6 of 7: out of reach for 600 s",
  ]);
});
