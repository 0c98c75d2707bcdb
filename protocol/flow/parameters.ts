import type { Parameter, Template } from "../document.ts";
import type { Path, RenderProblem } from "./render.ts";
import { didYouMean, misspelt } from "./suggest.ts";

/**
 * The values of a template's parameters for one site: given, else the default. Problems carry a path from `spec.parameters` of the site.
 * A value that is wrong is used all the same, so that one mistake is reported once.
 */
export function siteParameters(
  template: Template,
  given: Readonly<Record<string, unknown>>,
): { readonly values: Record<string, unknown>; readonly problems: RenderProblem[] } {
  const problems: RenderProblem[] = [];
  const declared = template.spec.parameters;
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(declared, name)) {
      problems.push({
        path: [name],
        key: true,
        message: `template "${template.metadata.name}" has no parameter "${name}"${didYouMean(name, Object.keys(declared))}`,
      });
    }
  }
  const meant = misspelt(Object.keys(given), Object.keys(declared));
  const values: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(declared)) {
    const value = Object.hasOwn(given, name) ? given[name] : parameter.default;
    if (value === undefined) {
      if (!meant.has(name)) problems.push({ path: [], message: `parameter "${name}" is missing` });
    } else values[name] = judgeValue([name], value, parameter, problems);
  }
  return { values, problems };
}

/** Problems of the declarations themselves; paths from `spec.parameters` of the template. */
export function declarationProblems(template: Template): RenderProblem[] {
  const problems: RenderProblem[] = [];
  for (const [name, parameter] of Object.entries(template.spec.parameters)) {
    if (name === "site" || name === "each")
      problems.push({ path: [name], message: `"${name}" has a meaning of its own in \${…}` });
    if (parameter.of && parameter.type !== "array")
      problems.push({ path: [name, "of"], message: '"of" describes the elements of an array' });
    if (parameter.default !== undefined) {
      const found: RenderProblem[] = [];
      judgeValue([name, "default"], parameter.default, parameter, found);
      problems.push(...found.map(({ message }) => ({ path: [name, "default"], value: true, message })));
    }
  }
  return problems;
}

function judgeValue(path: Path, value: unknown, parameter: Parameter, problems: RenderProblem[]): unknown {
  const say = (message: string, at: Path = path): void => void problems.push({ path: at, value: true, message });
  if (!isOfType(value, parameter.type)) say(`has to be ${article(parameter.type)}, is ${described(value)}`);
  else if (parameter.format === "uri" && !isUri(value)) say(`"${String(value)}" is not an address such as https://host:port`);
  const { values, of } = parameter;
  if (values) {
    const inner: [Path, unknown][] =
      typeof value === "object" && value !== null
        ? Object.entries(value).map(([key, each]) => [[...path, key], each])
        : [[path, value]];
    for (const [at, each] of inner) {
      if (!values.includes(each as string | boolean))
        say(
          `${described(each)} is none of ${values.join(", ")}${typeof each === "string" ? didYouMean(each, values.map(String)) : ""}`,
          at,
        );
    }
  }
  if (!of || !Array.isArray(value)) return value;
  const names = new Set<unknown>();
  return value.map((element: unknown, index) => {
    const at = [...path, index];
    if (!isOfType(element, "object")) {
      say(`has to be an object with ${Object.keys(of).join(", ")}`, at);
      return element;
    }
    const given = element as Record<string, unknown>;
    if (names.has(given.name)) say(`two elements are named "${String(given.name)}"`, [...at, "name"]);
    if (given.name !== undefined) names.add(given.name);
    for (const key of Object.keys(given))
      if (!Object.hasOwn(of, key))
        problems.push({ path: [...at, key], key: true, message: `unknown key "${key}"${didYouMean(key, Object.keys(of))}` });
    const meant = misspelt(Object.keys(given), Object.keys(of));
    const whole: Record<string, unknown> = { ...given };
    for (const [key, field] of Object.entries(of)) {
      const { type, default: fallback } = typeof field === "string" ? { type: field, default: undefined } : field;
      const each = Object.hasOwn(given, key) ? given[key] : fallback;
      if (each === undefined) {
        if (!meant.has(key)) problems.push({ path: at, message: `"${key}" is missing` });
      } else if (!isOfType(each, type)) say(`has to be ${article(type)}, is ${described(each)}`, [...at, key]);
      else whole[key] = each;
    }
    return whole;
  });
}

function isOfType(value: unknown, type: Parameter["type"] | "uri"): boolean {
  switch (type) {
    case "uri":
      return isUri(value);
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "integer":
      return Number.isSafeInteger(value);
    case "number":
      return typeof value === "number" && Number.isFinite(value);
    default:
      return typeof value === type;
  }
}

function isUri(value: unknown): boolean {
  return typeof value === "string" && /^[a-z][a-z0-9+.-]*:\/\/\S+$/i.test(value);
}

function article(type: string): string {
  return type === "uri" ? "an address" : /^[aio]/.test(type) ? `an ${type}` : `a ${type}`;
}

function described(value: unknown): string {
  return typeof value === "string"
    ? `"${value.slice(0, 80)}"`
    : Array.isArray(value)
      ? "a list"
      : typeof value === "object" && value !== null
        ? "an object"
        : String(value);
}

/** Values to judge a template with while there is no site: defaults where it has them, else made up from the types. */
export function sampleParameters(template: Template): {
  readonly values: Record<string, unknown>;
  readonly invented: ReadonlySet<string>;
} {
  const values: Record<string, unknown> = {};
  const invented = new Set<string>();
  for (const [name, parameter] of Object.entries(template.spec.parameters)) {
    if (parameter.default !== undefined) values[name] = siteParameters(template, { [name]: parameter.default }).values[name];
    else {
      values[name] = sampleOf(parameter);
      invented.add(name);
    }
  }
  return { values, invented };
}

function sampleOf({ type, format, of, values }: Parameter): unknown {
  if (type === "array") {
    if (!of) return [];
    const element = Object.entries(of).map(([key, field]) => {
      const { type, default: fallback } = typeof field === "string" ? { type: field, default: undefined } : field;
      return [key, fallback ?? scalar(type)];
    });
    return [{ name: "sample", ...Object.fromEntries(element) }];
  }
  if (type === "object") return {};
  return values?.[0] ?? scalar(format ?? type);
}

function scalar(type: string): unknown {
  return type === "uri"
    ? "https://sample.example"
    : type === "number" || type === "integer"
      ? 1
      : type === "boolean"
        ? true
        : "sample";
}
