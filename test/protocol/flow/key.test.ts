import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { joinKey } from "../../../protocol/index.ts";

describe("keys", () => {
  it("are different for different parts", () => {
    const part = fc.oneof(
      fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom("a", "/", "%", "2", "F", "5") }),
      fc.integer(),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), fc.array(part, { minLength: 1, maxLength: 4 }), (a, b) => {
        fc.pre(JSON.stringify(a.map(String)) !== JSON.stringify(b.map(String)));
        expect(joinKey(a)).not.toBe(joinKey(b));
      }),
      { numRuns: 5000 },
    );
    expect(joinKey(["a/b", "c"])).not.toBe(joinKey(["a", "b/c"]));
  });

  it("read as they were written where nothing has to be escaped", () => {
    expect(joinKey(["T-100045", 1])).toBe("T-100045/1");
  });

  it.each([[undefined], [null], [""], [{}], [["a"]], [true], [Number.NaN]])(
    "are refused with a part %j, never shortened",
    (part) => {
      expect(() => joinKey(["T-1", part], ["payload.txn", "line.no"])).toThrow(
        expect.objectContaining({ code: "KEY_INCOMPLETE" }),
      );
      expect(() => joinKey(["T-1", part], ["payload.txn", "line.no"])).toThrow("line.no");
    },
  );

  it("are refused when they are longer than a message can carry", () => {
    expect(() => joinKey(["x".repeat(513)])).toThrow(expect.objectContaining({ code: "KEY_INCOMPLETE" }));
  });
});
