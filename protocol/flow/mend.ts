import { z } from "zod";
import type { Path } from "./render.ts";
import { type ShapeProblem, shapeProblems } from "./shape-problems.ts";
import { nearest } from "./suggest.ts";

/** Fields on which others are judged: what stands in for one that is wrong takes nothing away from them. */
const generous: Readonly<Record<string, unknown>> = {
  subscribe: "#",
  publish: "#",
  access: "readWrite",
  url: "https://sample.example",
};

/**
 * Names what is wrong with the shape of a value, and makes of it one that has the shape, so that the rest can be judged: a misspelt
 * key is read as the key that was meant, an unknown one is left out, and what is wrong or missing gets a stand-in. What a stand-in
 * would give rise to is no fault of its own: {@link Mender.isStandIn} tells. All paths are of the whole document.
 */
export class Mender {
  readonly problems: ShapeProblem[] = [];
  readonly #standIns = new Set<string>();
  readonly #renamed = new Map<string, string>();
  readonly #madeUp: (path: Path) => boolean;

  /** @param madeUp whether the value at a path was made up before, as that of a parameter nobody gave */
  constructor(madeUp: (path: Path) => boolean = () => false) {
    this.#madeUp = madeUp;
  }

  /** Judges a value and mends it; undefined where it has no shape that could be told. */
  mend<Schema extends z.ZodType>(schema: Schema, value: unknown, path: Path): z.output<Schema> | undefined {
    const before = this.#renamed.size;
    const named = this.#rename(schema, value, path);
    if (this.#renamed.size > before) {
      const misspelt = shapeProblems(schema, value, path).filter(
        (problem) =>
          problem.key && [...this.#renamed.keys()].some((key) => keyOf(this.written(key.split("\n"))) === keyOf(problem.path)),
      );
      this.problems.push(...misspelt);
    }
    // a key that was only guessed is not held to its type, but to what it contains
    const guessed = (problem: ShapeProblem): boolean => problem.value === true && this.#renamed.has(keyOf(problem.path));
    this.problems.push(...shapeProblems(schema, named, path).filter((problem) => !guessed(problem)));
    return this.#mended(schema, named, path) as z.output<Schema> | undefined;
  }

  /** Says that whatever is found at this path, or below, is a consequence. */
  standIn(path: Path): void {
    this.#standIns.add(keyOf(path));
  }

  /** Reads the value of one key as that of another. */
  rename(path: Path, written: string): void {
    this.#renamed.set(keyOf(path), written);
  }

  isStandIn(path: Path): boolean {
    return path.some((_step, index) => this.#standIns.has(keyOf(path.slice(0, index + 1))));
  }

  /** Whether a stand-in stands at this path, above it or below it. */
  hasStandIn(path: Path): boolean {
    const below = `${keyOf(path)}\n`;
    return this.isStandIn(path) || [...this.#standIns].some((each) => each.startsWith(below));
  }

  /** Where a path of the mended value stands in the document. */
  written(path: Path): Path {
    return path.map((step, index) => this.#renamed.get(keyOf(path.slice(0, index + 1))) ?? step);
  }

  #rename(schema: z.ZodType, value: unknown, path: Path): unknown {
    const inner = unwrapped(schema, value);
    if (Array.isArray(value))
      return inner instanceof z.ZodArray
        ? value.map((each, index) => this.#rename(inner.element as z.ZodType, each, [...path, index]))
        : value;
    if (!isObject(value)) return value;
    if (inner instanceof z.ZodRecord)
      return Object.fromEntries(
        Object.entries(value).map(([key, each]) => [key, this.#rename(inner.valueType as z.ZodType, each, [...path, key])]),
      );
    if (!(inner instanceof z.ZodObject) || !isStrict(inner)) return value;
    const shape = inner.shape as Record<string, z.ZodType>;
    const absent = new Set(Object.keys(shape).filter((key) => !Object.hasOwn(value, key)));
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => {
        const meant = Object.hasOwn(shape, key) ? key : nearest(key, absent);
        if (meant === undefined) return [key, each];
        if (absent.delete(meant)) this.rename([...path, meant], key);
        return [meant, this.#rename(shape[meant] as z.ZodType, each, [...path, meant])];
      }),
    );
  }

  #mended(schema: z.ZodType, value: unknown, path: Path): unknown {
    const absent = value === undefined && !this.#isMadeUp(path);
    if (absent && (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault)) return schema.parse(undefined);
    const inner = unwrapped(schema, value);
    if (inner instanceof z.ZodUnion) {
      // of the kinds of a connector none was chosen; of other alternatives the first is as good as any
      return "discriminator" in inner.def ? undefined : this.#replaced(schema, inner.options[0] as unknown as z.ZodType, path);
    }
    const fits =
      inner instanceof z.ZodArray
        ? Array.isArray(value)
        : inner instanceof z.ZodObject || inner instanceof z.ZodRecord
          ? isObject(value)
          : inner.safeParse(value).success;
    if (!fits || this.#isMadeUp(path)) return this.#replaced(schema, inner, path);
    if (inner instanceof z.ZodArray)
      return (value as unknown[]).map((each, index) => this.#mended(inner.element as z.ZodType, each, [...path, index]));
    if (inner instanceof z.ZodRecord)
      return Object.fromEntries(
        Object.entries(value as object).map(([key, each]) => [
          key,
          this.#mended(inner.valueType as z.ZodType, each, [...path, key]),
        ]),
      );
    if (inner instanceof z.ZodObject) return this.#object(inner, value as Record<string, unknown>, path);
    return value;
  }

  #object(schema: z.ZodObject, value: Record<string, unknown>, path: Path): unknown {
    const shape = schema.shape as Record<string, z.ZodType>;
    const known = Object.entries(shape).flatMap(([key, field]) => {
      const each = this.#mended(field, value[key], [...path, key]);
      return each === undefined ? [] : [[key, each] as const];
    });
    const loose = isStrict(schema) ? [] : Object.entries(value).filter(([key]) => !Object.hasOwn(shape, key));
    return Object.fromEntries([...known, ...loose]);
  }

  #replaced(schema: z.ZodType, inner: z.ZodType, path: Path): unknown {
    this.standIn(path);
    const field = fieldOf(path);
    if (Object.hasOwn(generous, field)) return inner instanceof z.ZodArray ? [generous[field]] : generous[field];
    if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return schema.parse(undefined);
    if (inner instanceof z.ZodObject) return this.#object(inner, {}, path);
    if (inner instanceof z.ZodArray) return [];
    if (inner instanceof z.ZodRecord) return {};
    if (inner instanceof z.ZodEnum) return inner.options[0];
    if (inner instanceof z.ZodLiteral) return inner.value;
    if (inner instanceof z.ZodNumber) return 0;
    if (inner instanceof z.ZodBoolean) return false;
    return inner instanceof z.ZodString ? "?" : null;
  }

  #isMadeUp(path: Path): boolean {
    return this.#madeUp(this.written(path));
  }
}

export function keyOf(path: Path): string {
  return path.join("\n");
}

/** The name of the field that a value belongs to, also as one of a list. */
export function fieldOf(path: Path): string {
  return String(path.findLast((step) => typeof step === "string") ?? "");
}

/** Whether something made up in a part of the text spoils the whole for those that rest on it. */
export function isGenerous(path: Path): boolean {
  return Object.hasOwn(generous, fieldOf(path));
}

/** The schema that a value is meant for: without its default, of alternatives the one that is told by `type` or by what contains it. */
function unwrapped(schema: z.ZodType, value: unknown): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return unwrapped(schema.unwrap() as z.ZodType, value);
  if (!(schema instanceof z.ZodUnion)) return schema;
  const options = schema.options as unknown as z.ZodType[];
  const found = options.find((option) => {
    if ("discriminator" in schema.def) return isObject(value) && literalOf(option) === value.type;
    if (option instanceof z.ZodArray) return Array.isArray(value);
    if (option instanceof z.ZodObject || option instanceof z.ZodRecord) return isObject(value);
    return option.safeParse(value).success;
  });
  return found ?? schema;
}

function literalOf(option: z.ZodType): unknown {
  const type = option instanceof z.ZodObject ? (option.shape as Record<string, z.ZodType>).type : undefined;
  return type instanceof z.ZodLiteral ? type.value : undefined;
}

function isStrict(schema: z.ZodObject): boolean {
  return schema.def.catchall instanceof z.ZodNever;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
