import type { Template } from "../document.ts";
import { didYouMean } from "./suggest.ts";

export type Path = readonly (string | number)[];

/** What is wrong, and where in the document. */
export interface RenderProblem {
  readonly path: Path;
  readonly offset?: number;
  /** The problem is the key, not its value. */
  readonly key?: boolean;
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
      this.problems.push({ path, message: `"forEach" names a list parameter: "\${presses}"` });
      return [];
    }
    const names = new Set<unknown>();
    return (list as unknown[]).flatMap((element) => {
      const each = typeof element === "object" && element !== null ? (element as Record<string, unknown>) : {};
      const valid = typeof each.name === "string" && /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(each.name);
      if (!valid) this.problems.push({ path, message: 'each element needs a "name": letters, digits, dash, underscore' });
      // two of one name are a problem of the parameter, said there
      if (!valid || names.has(each.name)) return [];
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
        this.invented.add(path.join("\n"));
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
