import { Decimal } from "decimal.js";
import { z } from "zod";
import { PlantgateError } from "./base/error.ts";

/**
 * UN/ECE Recommendation 20 unit codes that we accept. C62 is the canonical piece: H87 and EA become C62.
 * `per` is the exact factor to the base unit of the dimension.
 */
const units = {
  C62: { dimension: "count", per: "1" },
  H87: { dimension: "count", per: "1", canonical: "C62" },
  EA: { dimension: "count", per: "1", canonical: "C62" },
  DZN: { dimension: "count", per: "12" },
  KGM: { dimension: "mass", per: "1" },
  GRM: { dimension: "mass", per: "0.001" },
  TNE: { dimension: "mass", per: "1000" },
  MTR: { dimension: "length", per: "1" },
  MMT: { dimension: "length", per: "0.001" },
  LTR: { dimension: "volume", per: "1" },
  MTQ: { dimension: "volume", per: "1000" },
  MTK: { dimension: "area", per: "1" },
  HUR: { dimension: "time", per: "3600" },
  MIN: { dimension: "time", per: "60" },
  SEC: { dimension: "time", per: "1" },
} as const satisfies Record<string, { dimension: string; per: string; canonical?: string }>;

export type UnitCode = Exclude<keyof typeof units, "H87" | "EA">;

const unitCodes = (Object.keys(units) as (keyof typeof units)[]).filter(
  (code): code is UnitCode => !("canonical" in units[code]),
);

/** A decimal number as text: no exponent, no leading plus, no binary float on the way. */
export const decimalString = z.string().regex(/^-?(0|[1-9]\d{0,17})(\.\d{1,12})?$/, 'a decimal number as text, such as "12.5"');

/** A unit that quantities are told in. */
export const decimalUnit = z.enum(unitCodes);

/** ISA-95 QuantityValue: a quantity is a string. `scale`: digits after the point. `srcValue`, `srcUnit`: as the sender wrote it, where it differed. */
export const quantity = z.strictObject({
  value: decimalString,
  unitCode: decimalUnit,
  scale: z.int().min(0).max(12),
  srcValue: z.string().max(64).optional(),
  srcUnit: z.string().max(64).optional(),
});
export type Quantity = z.infer<typeof quantity>;

/**
 * A quantity from what a sender wrote: a number or text, and a unit code or a name that `names` translates.
 * @throws PlantgateError UNIT_UNKNOWN, INPUT_INVALID
 */
export function toQuantity(value: unknown, unit: unknown, names: Readonly<Record<string, string>> = {}): Quantity {
  if (typeof unit !== "string" || unit === "")
    throw new PlantgateError("UNIT_UNKNOWN", "the quantity has no unit", { context: { unit } });
  const code = Object.hasOwn(names, unit) ? (names[unit] as string) : unit;
  if (!Object.hasOwn(units, code)) {
    throw new PlantgateError(
      "UNIT_UNKNOWN",
      `unknown unit "${unit}": not a UN/ECE Rec 20 code that Plantgate knows, and not in the template's table`,
      { context: { unit } },
    );
  }
  const known: { dimension: string; canonical?: string } = units[code as keyof typeof units];
  const text =
    typeof value === "number" && Number.isFinite(value)
      ? new Decimal(value).toFixed()
      : typeof value === "string"
        ? value.trim()
        : undefined;
  if (text === undefined || !decimalString.safeParse(text).success) {
    throw new PlantgateError("INPUT_INVALID", `"${String(value)}" is not a decimal number`, { context: { value } });
  }
  const unitCode = (known.canonical ?? code) as UnitCode;
  const scale = text.includes(".") ? text.length - text.indexOf(".") - 1 : 0;
  return unit === unitCode ? { value: text, unitCode, scale } : { value: text, unitCode, scale, srcValue: text, srcUnit: unit };
}

/** Exact comparison of two decimal strings. */
export function equalDecimals(a: string, b: string): boolean {
  return new Decimal(a).equals(new Decimal(b));
}

/**
 * `amount` in another unit of its dimension, as an exact decimal; the caller rounds once, where the receiver's precision is known.
 * @throws PlantgateError INPUT_INVALID when the dimensions differ
 */
export function convert(amount: Quantity, to: UnitCode): Decimal {
  const [a, b] = [units[amount.unitCode], units[to]];
  if (a.dimension !== b.dimension)
    throw new PlantgateError("INPUT_INVALID", `${amount.unitCode} cannot become ${to}`, { context: { amount, to } });
  return new Decimal(amount.value).times(a.per).dividedBy(b.per);
}
