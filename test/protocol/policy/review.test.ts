import { describe, expect, it } from "vitest";
import { type Policy, reviewOf } from "../../../protocol/index.ts";

const policy = (name: string, labels: Record<string, string>, required: boolean, rest: object = {}): Policy =>
  ({
    apiVersion: "plantgate/v1",
    kind: "Policy",
    metadata: { name, owner: "o", purpose: "p" },
    spec: { selector: { labels }, priority: 0, enforce: false, review: { required }, ...rest },
  }) as Policy;

describe("whether a change is read by a second person", () => {
  it("is so everywhere but in dev, where no policy says otherwise", () => {
    const required = ["dev", "test", "prod", "", "lab"].map((environment) => reviewOf([], environment).required);
    expect(required).toEqual([false, true, true, true, true]);
  });

  it("is asked for in dev by a policy, or for all environments at once", () => {
    expect(reviewOf([policy("a", { environment: "dev" }, true)], "dev")).toEqual({
      required: true,
      because: 'policy "a" asks for it in dev',
    });
    expect(reviewOf([policy("a", {}, true)], "dev").required).toBe(true);
  });

  it("is taken away from a named environment, and never from prod, from what has none, or from all at once", () => {
    expect(reviewOf([policy("a", { environment: "test" }, false)], "test").required).toBe(false);
    for (const environment of ["prod", ""]) {
      const policies = [policy("a", { environment }, false), policy("b", {}, false)];
      expect(reviewOf(policies, environment).required).toBe(true);
    }
    expect(reviewOf([policy("b", {}, false)], "test").required).toBe(true);
  });

  it("is not decided by a policy that selects by more than the environment", () => {
    expect(reviewOf([policy("a", { environment: "test", region: "eu" }, false)], "test").required).toBe(true);
  });

  it("is decided by the policy that is heard first", () => {
    const policies = [policy("a", { environment: "test" }, false), policy("b", {}, true, { enforce: true })];
    expect(reviewOf(policies, "test")).toMatchObject({ required: true, because: 'policy "b" asks for it in test' });
    expect(reviewOf([policies[0] as Policy, policy("b", {}, true)], "test").required).toBe(false);
  });
});
