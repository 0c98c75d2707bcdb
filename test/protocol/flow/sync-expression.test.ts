import fc from "fast-check";
import jsonata from "jsonata";
import { describe, expect, it } from "vitest";
import { compileExpression } from "../../../protocol/flow/expression.ts";

const leaf = fc.oneof(fc.constantFrom("x", "", "y z"), fc.integer({ min: -3, max: 3 }), fc.boolean(), fc.constant(null));
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    leaf,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("a", "b", "c"), tie("value"), { maxKeys: 3 }),
  ),
}));
const step = fc
  .tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom("", "", "", "[0]", "[1]", "[-1]", "[0][0]"))
  .map(([name, index]) => name + index);
const path = fc
  .tuple(fc.constantFrom("payload", "$payload", "line", "payload[0]"), fc.array(step, { maxLength: 4 }))
  .map(([root, steps]) => [root, ...steps].join("."));
const names = fc.uniqueArray(fc.constantFrom("k", "l", "m"), { minLength: 1 });
const object = fc
  .tuple(names, fc.array(path, { minLength: 3, maxLength: 3 }))
  .map(([keys, paths]) => `{ ${keys.map((key, index) => `"${key}": ${paths[index]}`).join(", ")} }`);
const expression = fc.oneof(
  path,
  object,
  fc.tuple(path, path).map(([a, b]) => `${a} & "/" & ${b}`),
  fc.constantFrom('"text"', "12", "true", "null"),
);

describe("the fast evaluator", () => {
  it("gives what JSONata gives, for any path and any input", async () => {
    let fast = 0;
    await fc.assert(
      fc.asyncProperty(expression, value, value, async (text, payload, line) => {
        const { sync } = compileExpression(text, []);
        if (!sync) return;
        fast += 1;
        const inputs = { payload, line };
        const plain = (result: unknown): unknown => (result === undefined ? "nothing" : JSON.parse(JSON.stringify(result)));
        expect(plain(sync(inputs))).toEqual(plain(await jsonata(text).evaluate(inputs, inputs)));
      }),
      { numRuns: 3000 },
    );
    expect(fast).toBeGreaterThan(2000);
  });

  it("leaves anything with a loop or a condition to JSONata", () => {
    for (const text of [
      "payload.a[b = 1]",
      "$sum(payload.a)",
      "payload.a ? 1 : 2",
      "payload.*",
      "payload.a[]",
      "payload.a^(b)",
      "{ payload.a: 1 }",
      "{ 'a': 1, 'a': 2 }",
      "{ 'a': $sum(payload) }",
      "[payload.a]",
      "payload.a.{ 'b': c }",
    ]) {
      expect(compileExpression(text, []).sync, text).toBeUndefined();
    }
  });

  it("reads no property that the input does not own", () => {
    expect(compileExpression("payload.constructor.name", []).sync!({ payload: {} })).toBeUndefined();
  });
});
