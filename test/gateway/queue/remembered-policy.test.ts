import { describe, expect, it } from "vitest";
import { parseRememberedPolicy } from "../../../gateway/queue/remembered-policy.ts";
import { defaultQueuePolicy, queuePolicy } from "../../../protocol/index.ts";

it("has the defaults that a document has", () => {
  expect(queuePolicy.parse({})).toEqual(defaultQueuePolicy);
  expect(parseRememberedPolicy("{}")).toEqual(defaultQueuePolicy);
});

it("is at the next start what was configured", () => {
  const policy = queuePolicy.parse({
    lanes: {
      transaction: { maxBytes: "1GiB", weight: 3 },
      telemetry: { maxBytes: "64MiB", maxMessages: 5000, maxAge: "4h", weight: 2 },
    },
    encryption: { atRest: true, rotateEvery: "7d" },
  });
  expect(parseRememberedPolicy(JSON.stringify(policy))).toEqual(policy);
});

it("fills in what an older version did not know", () => {
  const policy = parseRememberedPolicy(
    JSON.stringify({ lanes: { telemetry: { maxBytes: "5MiB" } }, encryption: { atRest: true } }),
  );
  expect(policy).toEqual(queuePolicy.parse({ lanes: { telemetry: { maxBytes: "5MiB" } }, encryption: { atRest: true } }));
});

describe("is the default where anything of it has not its form:", () => {
  it.each([
    ["no object", null],
    ["a size without a unit", { lanes: { bulk: { maxBytes: "5" } } }],
    ["a size that is a number", { lanes: { telemetry: { maxBytes: 5 } } }],
    ["a count with a fraction", { lanes: { telemetry: { maxMessages: 1.5 } } }],
    ["an age without a unit", { lanes: { telemetry: { maxAge: "4" } } }],
    ["a word for yes", { encryption: { atRest: "yes" } }],
    ["a rotation without a unit", { encryption: { atRest: true, rotateEvery: "90" } }],
  ])("%s", (_, stored) => {
    expect(parseRememberedPolicy(JSON.stringify(stored))).toEqual(defaultQueuePolicy);
  });
});
