import { z } from "zod";

type Shaper = (value: unknown) => unknown;
const shapers = new WeakMap<z.ZodType, Shaper | null>();

/** Puts a single value where the schema wants a list into a list: JSONata gives one match as the match itself. */
export function toShape(schema: z.ZodType, value: unknown): unknown {
  return shaperOf(schema)?.(value) ?? value;
}

/** Null where no list can occur, so that most types cost nothing. */
function shaperOf(schema: z.ZodType): Shaper | null {
  const known = shapers.get(schema);
  if (known !== undefined) return known;
  const made = makeShaper(schema);
  shapers.set(schema, made);
  return made;
}

function makeShaper(schema: z.ZodType): Shaper | null {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return shaperOf(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodArray) {
    const inner = shaperOf(schema.element as z.ZodType);
    return (value) => {
      if (value === undefined) return value;
      const list: unknown[] = Array.isArray(value) ? value : [value];
      return inner ? list.map(inner) : list;
    };
  }
  if (!(schema instanceof z.ZodObject)) return null;
  const fields = Object.entries(schema.shape as Record<string, z.ZodType>).flatMap(([name, field]) => {
    const shaper = shaperOf(field);
    return shaper ? [{ name, shaper }] : [];
  });
  if (fields.length === 0) return null;
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const copy: Record<string, unknown> = { ...value };
    for (const { name, shaper } of fields) if (Object.hasOwn(copy, name)) copy[name] = shaper(copy[name]);
    return copy;
  };
}
