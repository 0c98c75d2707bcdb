import { toInstant } from "../base/clock.ts";
import { PlantgateError } from "../base/error.ts";
import { type Quantity, toQuantity } from "../quantity.ts";

/** Named tables of codes: scheme → code → value. */
export type Codes = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface FlowFunction {
  readonly name: string;
  readonly signature: string;
  readonly purpose: string;
  readonly apply: (...args: unknown[]) => unknown;
}

/** The functions that expressions have beside JSONata's own. Pure, and bounded by the size of their arguments. */
export function flowFunctions(codes: Codes): readonly FlowFunction[] {
  return [
    {
      name: "quantity",
      signature: "$quantity(value, unit, scheme?)",
      purpose: "A quantity with its UN/ECE Rec 20 unit; `scheme` names the table that translates the sender's unit names.",
      apply: (value, unit, scheme) => quantityOf(codes, value, unit, scheme),
    },
    {
      name: "instant",
      signature: "$instant(text, zone?)",
      purpose: "An instant in UTC with milliseconds; `zone` is the IANA time zone of text that names none.",
      apply: (text, zone) => instantOf(text, zone),
    },
    {
      name: "site",
      signature: "$site(scheme, code)",
      purpose: "What the table `scheme` says for `code`; nothing where it does not say.",
      apply: (scheme, code) => {
        const table = tableOf(codes, scheme);
        return typeof code === "string" && Object.hasOwn(table, code) ? table[code] : undefined;
      },
    },
  ];
}

function tableOf(codes: Codes, scheme: unknown): Readonly<Record<string, string>> {
  const table = typeof scheme === "string" && Object.hasOwn(codes, scheme) ? codes[scheme] : undefined;
  if (!table)
    throw new PlantgateError("MAPPING_FAILED", `there is no table of codes "${String(scheme)}"`, { context: { scheme } });
  return table;
}

function quantityOf(codes: Codes, value: unknown, unit: unknown, scheme: unknown): Quantity {
  return toQuantity(value, unit, scheme === undefined ? {} : tableOf(codes, scheme));
}

const zoned = /(?:[zZ]|[+-]\d{2}(?::?\d{2})?)(?:\[[^\]]*\])?$/;

/**
 * Text with an offset or `Z` is taken as it is. Text without one is the wall clock of `zone`: of two instants that a clock set back
 * shows twice the earlier one is meant, and a time that a clock set forward skips is moved forward by the gap (RFC 5545, 3.3.5).
 * @throws PlantgateError INPUT_INVALID
 */
function instantOf(text: unknown, zone: unknown): string {
  if (typeof text !== "string" || text.length > 64)
    throw new PlantgateError("INPUT_INVALID", "not a date and time as text", { context: { text: typeof text } });
  const written = text.trim().replace(/^(\d{4}-\d{2}-\d{2}) (?=\d)/, "$1T");
  try {
    if (/^\d{4}-\d{2}-\d{2}T/.test(written) && zoned.test(written.slice(10)))
      return toInstant(Temporal.Instant.from(written).epochMilliseconds);
    if (typeof zone !== "string" || zone === "") {
      throw new PlantgateError("INPUT_INVALID", `"${text}" has no time zone, and none was given`, { context: { text } });
    }
    return toInstant(
      Temporal.PlainDateTime.from(written).toZonedDateTime(zone, { disambiguation: "compatible" }).epochMilliseconds,
    );
  } catch (cause) {
    if (cause instanceof PlantgateError) throw cause;
    const what = typeof zone === "string" ? `"${text}" in zone "${zone}"` : `"${text}"`;
    throw new PlantgateError("INPUT_INVALID", `${what} is not an instant`, { context: { text, zone } });
  }
}
