import { Decimal } from "decimal.js";
import { convert, type Quantity, toQuantity } from "../../../protocol/index.ts";

/** How many of Odoo's digits a quantity keeps ("Product Unit" in its decimal accuracy), and how its units are called. */
export interface Measures {
  readonly digits: number;
  /** Odoo's unit names to unit codes. */
  readonly units: Readonly<Record<string, string>>;
}

/** A quantity that cannot be booked as it is; a person has to look. */
export class Unbookable extends Error {}

/** `amount` in the unit that Odoo calls `unit`, rounded as Odoo would. A quantity that would vanish is refused, never booked as nothing. */
export function toOdooQuantity(amount: Quantity, unit: string, measures: Measures): Decimal {
  let exact: Decimal;
  try {
    exact = convert(amount, toQuantity("1", unit, measures.units).unitCode);
  } catch (cause) {
    throw new Unbookable(
      `${amount.value} ${amount.unitCode} cannot be booked in ${unit}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  if (exact.isNegative() && !exact.isZero())
    throw new Unbookable(`${amount.value} ${amount.unitCode} is negative: a correction is made in Odoo`);
  const rounded = exact.toDecimalPlaces(measures.digits, Decimal.ROUND_HALF_UP);
  if (rounded.isZero() && !exact.isZero()) {
    throw new Unbookable(
      `${amount.value} ${amount.unitCode} is less than Odoo can book: ${unit} has ${measures.digits} digits there`,
    );
  }
  return rounded;
}

/** A number that Odoo sent, without the noise of its binary form. */
export function fromOdooNumber(value: number, digits: number): Decimal {
  return new Decimal(value).toDecimalPlaces(digits, Decimal.ROUND_HALF_UP);
}

/**
 * A number and unit of Odoo as a canonical quantity.
 * @throws PlantgateError UNIT_UNKNOWN for a unit that the template's table does not name
 */
export function fromOdooQuantity(value: number, unit: string, measures: Measures): Quantity {
  return toQuantity(fromOdooNumber(value, measures.digits).toFixed(), unit, measures.units);
}
