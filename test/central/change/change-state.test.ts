import { expect, it } from "vitest";
import type { Actor } from "../../../central/auth/actor.ts";
import { type ChangeFacts, judge } from "../../../central/change/change-state.ts";

const facts: ChangeFacts = {
  state: "done",
  environment: "prod",
  author: "ada",
  writers: ["ada"],
  unreadFrom: ["ada", "wim"],
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
