import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeJson, maxInputDepth, PlantgateError } from "../../../protocol/index.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof PlantgateError) return error.code;
    throw error;
  }
  return "nothing thrown";
}

describe("decoding input", () => {
  it("keeps an SSCC of 18 digits that was sent as a number", () => {
    expect(decodeJson(bytes('{"sscc":340123450000000018,"other":[-340123450000000018]}'))).toEqual({
      sscc: "340123450000000018",
      other: ["-340123450000000018"],
    });
  });

  it("gives every long integer as text, also one that a double happens to hold", () => {
    expect(decodeJson(bytes("[340123450000000000, 9007199254740992, 9007199254740991]"))).toEqual([
      "340123450000000000",
      "9007199254740992",
      9007199254740991,
    ]);
  });

  it("keeps what a double cannot hold as it was written", () => {
    expect(decodeJson(bytes("[0.12345678901234567890, 1e400, 1e-400, 12.50, 1e3, -0.0]"))).toEqual([
      "0.12345678901234567890",
      "1e400",
      "1e-400",
      12.5,
      1000,
      -0,
    ]);
  });

  it("does not mistake long digits inside text for a number", () => {
    expect(decodeJson(bytes('{"a":"340123450000000018","b":1}'))).toEqual({ a: "340123450000000018", b: 1 });
  });

  it("refuses bytes that are not UTF-8, and text that is not JSON", () => {
    expect(codeOf(() => decodeJson(new Uint8Array([0x22, 0xff, 0x22])))).toBe("INPUT_NOT_JSON");
    expect(codeOf(() => decodeJson(bytes("{'a':1}")))).toBe("INPUT_NOT_JSON");
    expect(codeOf(() => decodeJson(bytes("")))).toBe("INPUT_NOT_JSON");
  });

  it("refuses input that is nested deeper than code may recurse, and counts no brackets in text", () => {
    const nested = (depth: number): Uint8Array => bytes("[".repeat(depth) + "]".repeat(depth));
    expect(codeOf(() => decodeJson(nested(maxInputDepth)))).toBe("nothing thrown");
    expect(codeOf(() => decodeJson(nested(maxInputDepth + 1)))).toBe("INPUT_NOT_JSON");
    expect(decodeJson(bytes(JSON.stringify("[".repeat(1000))))).toBe("[".repeat(1000));
    expect(decodeJson(bytes(JSON.stringify(`\\"${"[".repeat(1000)}`)))).toBe(`\\"${"[".repeat(1000)}`);
  });

  it("drops a key __proto__, however it is written, and changes no prototype", () => {
    const value = decodeJson(bytes('{"__proto__":{"admin":true},"\\u005f_proto__":{"admin":true},"a":1}')) as Record<
      string,
      unknown
    >;
    expect(Object.keys(value)).toEqual(["a"]);
    expect(value.admin).toBeUndefined();
    expect({ ...value }.admin).toBeUndefined();
  });

  it("reads every JSON value as JSON.parse does, where no number loses a digit", () => {
    fc.assert(
      fc.property(fc.jsonValue({ depthSize: "small", noUnicodeString: false }), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!/__proto__|\d{16}|\d[eE]/.test(text));
        expect(decodeJson(bytes(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  it("gives a number of any length as the same decimal", () => {
    const digits = fc.stringMatching(/^(0|[1-9]\d{0,24})(\.\d{1,24})?$/);
    fc.assert(
      fc.property(digits, (text) => {
        const value = decodeJson(bytes(text));
        const plain = (written: string): string => (written.includes(".") ? written.replace(/\.?0+$/, "") : written);
        // a number is only given where its own text is the same decimal again
        const back =
          typeof value === "number" ? value.toLocaleString("en", { useGrouping: false, maximumFractionDigits: 100 }) : value;
        expect(plain(String(back))).toBe(plain(text));
      }),
      { numRuns: 2000 },
    );
  });

  it("never throws anything but its own error", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.string().map(bytes),
          fc.json().map((text) => bytes(text.slice(0, -1))),
        ),
        (input) => {
          expect(["nothing thrown", "INPUT_NOT_JSON"]).toContain(codeOf(() => decodeJson(input)));
        },
      ),
      { numRuns: 1000 },
    );
  });
});
