import { z } from "zod";

/** What a document may say of a value that has defaults: any part of it. */
export type Partly<Value> = Value extends readonly unknown[]
  ? Value
  : Value extends object
    ? { readonly [Key in keyof Value]?: Partly<Value[Key]> | undefined }
    : Value;

/** One value of a schema: where it stands, and what it is where nobody says so. */
export interface Leaf {
  readonly path: readonly string[];
  readonly default: unknown;
  /** What holds while there is no value at all. */
  readonly absent: string | undefined;
}

/**
 * The schema of what a document may say of a value: the same fields at any depth, none of them needed, no defaults filled in, as what one
 * document leaves out another one says. Defaults go into the descriptions.
 */
export function partly<Schema extends z.ZodObject>(schema: Schema): z.ZodObject & z.ZodType<Partly<z.infer<Schema>>> {
  const fields = Object.entries(schema.shape as Record<string, z.ZodType>).map(([key, field]) => {
    const inner = bare(field);
    if (inner instanceof z.ZodObject)
      return [
        key,
        partly(inner)
          .meta(inner.meta() ?? {})
          .optional(),
      ];
    const meta = { ...inner.meta(), ...field.meta() };
    const fallback = defaultOf(field);
    const description = [meta.description, fallback === undefined ? undefined : `Default: ${String(fallback)}.`]
      .filter((part) => part !== undefined)
      .join(" ");
    return [key, (description === "" ? inner : inner.meta({ ...meta, description })).optional()];
  });
  return z.strictObject(Object.fromEntries(fields) as z.ZodRawShape) as never;
}

/** Every value of a schema, in the order in which it is written. */
export function leavesOf(schema: z.ZodObject, path: readonly string[] = []): Leaf[] {
  return Object.entries(schema.shape as Record<string, z.ZodType>).flatMap(([key, field]): Leaf[] => {
    const inner = bare(field);
    const here = [...path, key];
    if (inner instanceof z.ZodObject) return leavesOf(inner, here);
    const absent = { ...inner.meta(), ...field.meta() }.absent;
    return [{ path: here, default: defaultOf(field), absent: absent === undefined ? undefined : String(absent) }];
  });
}

function bare(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault
    ? bare(schema.unwrap() as z.ZodType)
    : schema;
}

function defaultOf(schema: z.ZodType): unknown {
  return schema instanceof z.ZodDefault ? schema.parse(undefined) : undefined;
}
