import { z } from "zod";
import type { Path } from "./render.ts";
import { didYouMean } from "./suggest.ts";

export interface ShapeProblem {
  readonly path: Path;
  /** The problem is a key that should not be there. */
  readonly key?: boolean;
  /** The problem is the value as a whole: it is found where it begins. */
  readonly value?: boolean;
  /** The problem is that this field of `path` is missing. */
  readonly missing?: string;
  readonly message: string;
}

/** What is wrong with a value, in words: unknown keys with a suggestion, unions by the alternative that was meant. */
export function shapeProblems(schema: z.ZodType, value: unknown, path: Path = []): ShapeProblem[] {
  const result = schema.safeParse(value);
  return result.success ? [] : result.error.issues.flatMap((issue) => describe(issue, schema, value, path));
}

function describe(issue: z.core.$ZodIssue, schema: z.ZodType, root: unknown, base: Path): ShapeProblem[] {
  const inner = issue.path.filter((step): step is string | number => typeof step !== "symbol");
  const path = [...base, ...inner];
  const value = valueAt(root, inner);
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, root, inner);
    return issue.keys.map((key) => ({
      path: [...path, key],
      key: true,
      message: `unknown key "${key}"${didYouMean(key, known)}`,
    }));
  }
  const choice = issue.code === "invalid_union" && "discriminator" in issue && issue.discriminator !== undefined;
  if (value === undefined && path.length > 0 && !choice) {
    const name = String(path.at(-1));
    return [{ path: path.slice(0, -1), missing: name, message: `"${name}" is missing` }];
  }
  if (issue.code === "invalid_union") {
    const { discriminator } = issue as { discriminator?: string };
    if (discriminator !== undefined) {
      const options = literalsAt(schema, discriminator);
      const written = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[discriminator] : value;
      const message =
        written === undefined
          ? `"${discriminator}" is missing: one of ${options.join(", ")}`
          : `unknown ${discriminator} "${String(written)}"${didYouMean(String(written), options) || `; one of ${options.join(", ")}`}`;
      return [{ path: issue.path.at(-1) === discriminator || written === undefined ? path : [...path, discriminator], message }];
    }
    const nearest = nearestAlternative(issue.errors);
    if (nearest) return nearest.flatMap((each) => describe(each, z.unknown(), value, path));
    return [{ path, value: true, message: `${nameOf(value)} has none of the forms that are possible here` }];
  }
  if (issue.code === "invalid_type" && typeof value === "string" && isSecret(path)) {
    return [{ path, value: true, message: `a secret is named here, never written: { secret: ${String(path.at(-1))} }` }];
  }
  if (issue.code === "invalid_type")
    return [
      { path, value: true, message: `has to be ${issue.expected === "record" ? "object" : issue.expected}, is ${nameOf(value)}` },
    ];
  if (issue.code === "invalid_value") {
    const options = issue.values.map(String);
    return [
      {
        path,
        value: true,
        message: `${nameOf(value)} is none of ${options.join(", ")}${typeof value === "string" ? didYouMean(value, options) : ""}`,
      },
    ];
  }
  if (issue.code === "invalid_key") return [{ path, key: true, message: issue.issues[0]?.message ?? issue.message }];
  return [{ path, value: true, message: issue.message }];
}

/** Of the alternatives of a union the one whose own type fits and that fails deepest. */
function nearestAlternative(errors: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] | undefined {
  const fitting = errors.filter(
    (issues) =>
      !issues.some((issue) => issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value")),
  );
  return fitting.toSorted((a, b) => a.length - b.length)[0];
}

const secretFields = new Set(["password", "apiKey", "bearer"]);
function isSecret(path: Path): boolean {
  return secretFields.has(String(path.at(-1)));
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path)
    value = typeof value === "object" && value !== null ? (value as Record<string | number, unknown>)[step] : undefined;
  return value;
}

function nameOf(value: unknown): string {
  if (typeof value === "string") return `"${value.slice(0, 80)}"`;
  return Array.isArray(value) ? "a list" : value === null ? "empty" : typeof value === "object" ? "an object" : String(value);
}

/** Keys that the schema knows at a path of the value; of a union those of the alternative that `type` chooses, else of all. */
function keysAt(schema: z.ZodType, value: unknown, path: Path): string[] {
  const found: string[] = [];
  const visit = (current: z.ZodType, here: unknown, rest: Path): void => {
    const isWrapped = [z.ZodOptional, z.ZodDefault, z.ZodPrefault, z.ZodNullable].some((wrapper) => current instanceof wrapper);
    if (isWrapped) {
      visit((current as z.ZodOptional).unwrap() as z.ZodType, here, rest);
      return;
    }
    if (current instanceof z.ZodUnion) {
      for (const option of chosen(current, here)) visit(option, here, rest);
      return;
    }
    const [step, ...more] = rest;
    const below = step === undefined ? undefined : valueAt(here, [step]);
    if (current instanceof z.ZodObject) {
      const shape = current.shape as Record<string, z.ZodType>;
      if (step === undefined) found.push(...Object.keys(shape));
      else if (shape[step]) visit(shape[step], below, more);
    } else if (step !== undefined && current instanceof z.ZodArray) visit(current.element as z.ZodType, below, more);
    else if (step !== undefined && current instanceof z.ZodRecord) visit(current.valueType as z.ZodType, below, more);
  };
  visit(schema, value, path);
  return found;
}

function chosen(union: z.ZodUnion, value: unknown): z.ZodType[] {
  const options = union.options as unknown as z.ZodType[];
  const type = valueAt(value, ["type"]);
  const fitting = options.filter((option) => option instanceof z.ZodObject && literalsAt(option, "type").includes(String(type)));
  return fitting.length > 0 ? fitting : options;
}

function literalsAt(schema: z.ZodType, field: string): string[] {
  if (schema instanceof z.ZodUnion)
    return (schema.options as unknown as z.ZodType[]).flatMap((option) => literalsAt(option, field));
  const literal = schema instanceof z.ZodObject ? (schema.shape as Record<string, z.ZodType>)[field] : undefined;
  return literal instanceof z.ZodLiteral ? [...literal.values].map(String) : [];
}
