/** Rounds half up to the precision "Product Unit", which Odoo sets to two digits. */
export function round(quantity: number): number {
  return Math.round(quantity * 100 + Math.sign(quantity) * 1e-7) / 100;
}

export function sum(quantities: Iterable<number>): number {
  let total = 0;
  for (const quantity of quantities) total += quantity;
  return round(total);
}
