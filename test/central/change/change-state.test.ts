import { expect, it } from "vitest";
import type { Actor } from "../../../central/auth/actor.ts";
import { type ChangeFacts, judge } from "../../../central/change/change-state.ts";

const facts: ChangeFacts = {
  state: "done",
  environment: "prod",
  author: "ada",
  writers: ["ada"],
  unreadFrom: ["ada", "wim"],
  carriesVersion: false,
  approvers: ["ben"],
  reviewRequired: true,
  reviewOwed: true,
};
const person = (name: string): Actor => ({ kind: "user", name, roles: ["approver"], environments: ["*"] });

it("has an expedited change reviewed by somebody who wrote nothing of it, also not a document that another one carried on", () => {
  expect(judge("review", facts, person("wim"))).toMatchObject({
    allowed: false,
    reason: expect.stringContaining("third person"),
  });
  for (const name of ["ada", "ben"]) expect(judge("review", facts, person(name)).allowed).toBe(false);
  expect(judge("review", facts, person("cleo")).allowed).toBe(true);
});

it.each(["ada", "Ada", " ada ", "ＡＤＡ"])(
  "takes a name for the same person's in whatever case and letters it is written: %s",
  (name) => {
    const inReview: ChangeFacts = { ...facts, state: "review", unreadFrom: [], approvers: [] };
    expect(judge("approve", inReview, person(name))).toMatchObject({
      allowed: false,
      reason: expect.stringContaining("its author"),
    });
    const edited: ChangeFacts = { ...inReview, author: "cleo", writers: ["cleo", "ada"] };
    expect(judge("approve", edited, person(name))).toMatchObject({ allowed: false, reason: expect.stringContaining("edited") });
    expect(judge("approve", { ...edited, writers: ["cleo"] }, person(name)).allowed).toBe(true);
  },
);

it("starts nothing where review is asked for and nobody approved what it carries now", () => {
  const approved: ChangeFacts = { ...facts, state: "approved", approvers: [] };
  const operator: Actor = { ...person("otto"), roles: ["operator"] };
  expect(judge("start", approved, operator)).toMatchObject({
    allowed: false,
    reason: expect.stringContaining("nobody has approved"),
  });
  expect(judge("start", { ...approved, approvers: ["ben"] }, operator).allowed).toBe(true);
  expect(judge("start", { ...approved, reviewRequired: false }, operator).allowed).toBe(true);
});
