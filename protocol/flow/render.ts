import type { Parameter, Site, Template } from "../document.ts";
import { didYouMean } from "./suggest.ts";

export type Path = readonly (string | number)[];

/** What is wrong, and where in the document. */
export interface RenderProblem {
  readonly path: Path;
  readonly offset?: number;
  readonly message: string;
}

/** A connector or flow with nothing left to fill in; its shape is not judged yet. */
export interface RenderedPart {
  readonly name: string;
  /** Its name in the template: the group of the instances of a `forEach`. */
  readonly group: string;
  readonly value: Readonly<Record<string, unknown>>;
}

export interface RenderedTemplate {
  readonly connectors: readonly RenderedPart[];
  readonly flows: readonly RenderedPart[];
  readonly problems: readonly RenderProblem[];
  /** Paths in the template whose value rests on a made-up parameter: their shape says nothing about the template. */
  readonly invented: ReadonlySet<string>;
}

/** What `${…}` can name beside parameters. */
export interface RenderSite {
  readonly name: string;
  readonly timeZone: string;
  readonly labels: Readonly<Record<string, string>>;
}

export function renderSite(site: Site): RenderSite {
  return { name: site.metadata.name, timeZone: site.spec.timeZone, labels: site.metadata.labels ?? {} };
}

/**
 * Fills a template in: `${…}` becomes the value it names, not text pasted into YAML, and `forEach` makes one connector or flow per
 * element. The order of the template is the order of the result. `invented` names parameters whose values are samples.
 */
export function renderTemplate(
  template: Template,
  site: RenderSite,
  parameters: Readonly<Record<string, unknown>>,
  invented: ReadonlySet<string> = new Set(),
): RenderedTemplate {
  const renderer = new Renderer({ ...parameters, site }, invented);
  const connectors = renderer.parts(["spec", "connectors"], template.spec.connectors);
  const flows = renderer.parts(["spec", "flows"], template.spec.flows);
  return { connectors, flows, problems: renderer.problems, invented: renderer.invented };
}

const placeholder = /\$\{([^}]*)\}/g;

class Renderer {
  readonly problems: RenderProblem[] = [];
  readonly invented = new Set<string>();
  readonly #scope: Readonly<Record<string, unknown>>;
  readonly #sampled: ReadonlySet<string>;

  constructor(scope: Readonly<Record<string, unknown>>, sampled: ReadonlySet<string>) {
    this.#scope = scope;
    this.#sampled = sampled;
  }

  parts(path: Path, written: Readonly<Record<string, Readonly<Record<string, unknown>>>>): RenderedPart[] {
    return Object.entries(written).flatMap(([group, { forEach, ...value }]) => {
      const here = [...path, group];
      if (forEach === undefined) return [{ name: group, group, value: this.#object(here, value, undefined) }];
      return this.#elements([...here, "forEach"], forEach).map((each) => ({
        name: `${group}.${String(each.name)}`,
        group,
        value: this.#object(here, value, { each, sampled: this.invented.has([...here, "forEach"].join("\n")) }),
      }));
    });
  }

  #elements(path: Path, forEach: unknown): Record<string, unknown>[] {
    const known = this.problems.length;
    const list = this.#value(path, forEach, undefined);
    if (this.problems.length > known) return [];
    if (!Array.isArray(list)) {
      this.problems.push({ path, message: '"forEach" names a list parameter: "${presses}"' });
      return [];
    }
    const names = new Set<unknown>();
    return (list as unknown[]).flatMap((element) => {
      const each = typeof element === "object" && element !== null ? (element as Record<string, unknown>) : {};
      const valid = typeof each.name === "string" && /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(each.name);
      if (!valid || names.has(each.name)) {
        const message = valid
          ? `two elements are named "${String(each.name)}"`
          : 'each element needs a "name": letters, digits, dash, underscore';
        this.problems.push({ path, message });
        return [];
      }
      names.add(each.name);
      return [each];
    });
  }

  #object(path: Path, value: Readonly<Record<string, unknown>>, loop: Loop | undefined): Record<string, unknown> {
    return this.#value(path, value, loop) as Record<string, unknown>;
  }

  #value(path: Path, value: unknown, loop: Loop | undefined): unknown {
    if (typeof value === "string") return this.#text(path, value, loop);
    if (Array.isArray(value)) return value.map((item, index) => this.#value([...path, index], item, loop));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.#value([...path, key], inner, loop)]));
  }

  #text(path: Path, text: string, loop: Loop | undefined): unknown {
    const whole = /^\$\{([^}]*)\}$/.exec(text);
    if (whole) return this.#resolve(path, whole[1] ?? "", 2, loop)?.value;
    return text.replace(placeholder, (match, name: string, offset: number) => {
      const found = this.#resolve(path, name, offset + 2, loop);
      if (!found) return match;
      if (typeof found.value === "object") {
        this.problems.push({
          path,
          offset,
          message: `\${${name}} is not one value: inside text only text, numbers and booleans can stand`,
        });
        return match;
      }
      return String(found.value);
    });
  }

  #resolve(path: Path, reference: string, offset: number, loop: Loop | undefined): { readonly value: unknown } | undefined {
    const names = reference.trim().split(".");
    const scope: Record<string, unknown> = { ...this.#scope, ...(loop ? { each: loop.each } : {}) };
    let value: unknown = scope;
    for (const [index, name] of names.entries()) {
      const candidates: string[] = typeof value === "object" && value !== null ? Object.keys(value) : [];
      if (!candidates.includes(name)) {
        const what =
          index === 0
            ? name === "each"
              ? "each is known only where forEach stands"
              : `there is no parameter "${name}"`
            : `"${names.slice(0, index).join(".")}" has no "${name}"`;
        this.problems.push({ path, offset, message: `\${${reference}}: ${what}${didYouMean(name, candidates)}` });
        return undefined;
      }
      value = (value as Record<string, unknown>)[name];
    }
    if (value === undefined) return undefined;
    if (this.#sampled.has(names[0] ?? "") || (names[0] === "each" && loop?.sampled)) this.invented.add(path.join("\n"));
    return { value };
  }
}

interface Loop {
  readonly each: Readonly<Record<string, unknown>>;
  readonly sampled: boolean;
}

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
        message: `template "${template.metadata.name}" has no parameter "${name}"${didYouMean(name, Object.keys(declared))}`,
      });
    }
  }
  const values: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(declared)) {
    const value = Object.hasOwn(given, name) ? given[name] : parameter.default;
    if (value === undefined) problems.push({ path: [], message: `parameter "${name}" is missing` });
    else values[name] = judgeValue([name], value, parameter, problems);
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
      problems.push(...found.map(({ message }) => ({ path: [name, "default"], message })));
    }
  }
  return problems;
}

function judgeValue(path: Path, value: unknown, parameter: Parameter, problems: RenderProblem[]): unknown {
  const say = (message: string, at: Path = path): void => void problems.push({ path: at, message });
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
  return value.map((element: unknown, index) => {
    const at = [...path, index];
    if (!isOfType(element, "object")) {
      say(`has to be an object with ${Object.keys(of).join(", ")}`, at);
      return element;
    }
    const given = element as Record<string, unknown>;
    for (const key of Object.keys(given))
      if (!Object.hasOwn(of, key)) say(`unknown key "${key}"${didYouMean(key, Object.keys(of))}`, [...at, key]);
    const whole: Record<string, unknown> = { ...given };
    for (const [key, field] of Object.entries(of)) {
      const { type, default: fallback } = typeof field === "string" ? { type: field, default: undefined } : field;
      const each = Object.hasOwn(given, key) ? given[key] : fallback;
      if (each === undefined) say(`"${key}" is missing`, at);
      else if (!isOfType(each, type)) say(`has to be ${article(type)}, is ${described(each)}`, [...at, key]);
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
