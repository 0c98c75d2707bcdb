import type { Template } from "../document.ts";
import { didYouMean } from "./suggest.ts";

export type Path = readonly (string | number)[];

/** What is wrong, and where in the document. */
export interface RenderProblem {
  readonly path: Path;
  readonly offset?: number;
  /** The problem is the key, not its value. */
  readonly key?: boolean;
  /** The problem is the value as a whole: it is found where it begins. */
  readonly value?: boolean;
  readonly message: string;
}

/** A connector or flow with nothing left to fill in; its shape is not judged yet. */
export interface RenderedPart {
  readonly name: string;
  /** Its name in the template: the group of the instances of a `forEach`. */
  readonly group: string;
  readonly value: Readonly<Record<string, unknown>>;
  /** Texts of which parts were filled in, by the path in the document. */
  readonly splices: ReadonlyMap<string, readonly Splice[]>;
}

/** What one `${…}` inside a text became: characters `start` to `end` of the result were `from` to `to` as written. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly from: number;
  readonly to: number;
  readonly invented: boolean;
}

/** The character of the written text that became this one; undefined where it is part of something made up. */
export function unspliced(splices: readonly Splice[], offset: number): number | undefined {
  let moved = offset;
  for (const { start, end, from, to, invented } of splices) {
    if (offset < start) break;
    // what stands right behind something made up is wrong because of it, as an operator without its operand
    if (offset <= end && invented) return undefined;
    if (offset < end) return from;
    moved = to + offset - end;
  }
  return moved;
}

export interface RenderedTemplate {
  readonly connectors: readonly RenderedPart[];
  readonly flows: readonly RenderedPart[];
  readonly problems: readonly RenderProblem[];
  /** Paths in the template whose whole value rests on a made-up parameter: it says nothing about the template. */
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
 * element. The order of the template is the order of the result. `invented` names parameters whose values are samples; one without a value
 * is known, and what it stands for is left open. What cannot be resolved is left open as well, so that all else can be judged.
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
  #splices = new Map<string, readonly Splice[]>();
  readonly #scope: Readonly<Record<string, unknown>>;
  readonly #sampled: ReadonlySet<string>;

  constructor(scope: Readonly<Record<string, unknown>>, sampled: ReadonlySet<string>) {
    this.#scope = scope;
    this.#sampled = sampled;
  }

  parts(path: Path, written: Readonly<Record<string, Readonly<Record<string, unknown>>>>): RenderedPart[] {
    return Object.entries(written).flatMap(([group, whole]) => {
      const here = [...path, group];
      const misspelt = Object.hasOwn(whole, "forEach") ? undefined : Object.keys(whole).find((key) => /^for.?each$/i.test(key));
      const loopKey = misspelt ?? "forEach";
      if (misspelt !== undefined)
        this.problems.push({
          path: [...here, misspelt],
          key: true,
          message: `unknown key "${misspelt}"; did you mean "forEach"?`,
        });
      const { [loopKey]: forEach, ...value } = whole;
      if (forEach === undefined) return [this.#part(group, group, here, value, undefined)];
      const known = this.problems.length;
      const elements = this.#elements([...here, loopKey], forEach);
      const open = this.problems.length > known || this.invented.has([...here, loopKey].join("\n"));
      // one instance at least, where the list is not to be known
      const loops = elements.length === 0 && open ? [{ name: "sample" }] : elements;
      return loops.map((each) => this.#part(`${group}.${String(each.name)}`, group, here, value, { each, open }));
    });
  }

  #part(
    name: string,
    group: string,
    path: Path,
    written: Readonly<Record<string, unknown>>,
    loop: Loop | undefined,
  ): RenderedPart {
    this.#splices = new Map();
    const value = this.#value(path, written, loop) as Record<string, unknown>;
    return { name, group, value, splices: this.#splices };
  }

  #elements(path: Path, forEach: unknown): Record<string, unknown>[] {
    const known = this.problems.length;
    const list = this.#value(path, forEach, undefined);
    const open = this.invented.has(path.join("\n"));
    if (this.problems.length > known) return [];
    if (!Array.isArray(list)) {
      if (list !== undefined)
        this.problems.push({ path, value: true, message: `"forEach" names a list parameter: "\${presses}"` });
      return [];
    }
    const names = new Set<unknown>();
    return (list as unknown[]).flatMap((element) => {
      const each = typeof element === "object" && element !== null ? (element as Record<string, unknown>) : {};
      const valid = typeof each.name === "string" && /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(each.name);
      if (!valid && !open)
        this.problems.push({ path, message: 'each element needs a "name": letters, digits, dash, underscore' });
      // two of one name are a problem of the parameter, said there
      if (!valid || names.has(each.name)) return [];
      names.add(each.name);
      return [each];
    });
  }

  #value(path: Path, value: unknown, loop: Loop | undefined): unknown {
    if (typeof value === "string") return this.#text(path, value, loop);
    if (Array.isArray(value)) return value.map((item, index) => this.#value([...path, index], item, loop));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.#value([...path, key], inner, loop)]));
  }

  #text(path: Path, text: string, loop: Loop | undefined): unknown {
    const whole = /^\$\{([^}]*)\}$/.exec(text);
    if (whole) {
      const found = this.#resolve(path, whole[1] ?? "", undefined, loop);
      if (found.invented) this.invented.add(path.join("\n"));
      return found.value;
    }
    const splices: Splice[] = [];
    let result = "";
    let at = 0;
    for (const match of text.matchAll(placeholder)) {
      let { value, invented } = this.#resolve(path, match[1] ?? "", match.index, loop);
      if (typeof value === "object") {
        const message = `${match[0]} is not one value: inside text only text, numbers and booleans can stand`;
        if (!invented) this.problems.push({ path, offset: match.index, message });
        [value, invented] = [undefined, true];
      }
      result += text.slice(at, match.index);
      at = match.index + match[0].length;
      const filled = value === undefined ? "sample" : String(value);
      splices.push({ start: result.length, end: result.length + filled.length, from: match.index, to: at, invented });
      result += filled;
    }
    if (splices.length > 0) this.#splices.set(path.join("\n"), splices);
    return result + text.slice(at);
  }

  #resolve(path: Path, reference: string, offset: number | undefined, loop: Loop | undefined): Resolved {
    const names = reference.trim().split(".");
    const scope: Record<string, unknown> = { ...this.#scope, ...(loop ? { each: loop.each } : {}) };
    const invented = this.#sampled.has(names[0] ?? "") || (names[0] === "each" && loop?.open === true);
    let value: unknown = scope;
    for (const [index, name] of names.entries()) {
      const candidates: string[] = typeof value === "object" && value !== null ? Object.keys(value) : [];
      if (!candidates.includes(name)) {
        // of something made up nobody knows what it has
        if (index > 0 && invented) return { value: undefined, invented };
        const what =
          index === 0
            ? name === "each"
              ? "each is known only where forEach stands"
              : `there is no parameter "${name}"`
            : `"${names.slice(0, index).join(".")}" has no "${name}"`;
        const message = `\${${reference}}: ${what}${didYouMean(name, candidates)}`;
        this.problems.push({ path, message, ...(offset === undefined ? {} : { offset }) });
        return { value: undefined, invented: true };
      }
      value = (value as Record<string, unknown>)[name];
    }
    return { value, invented: invented || value === undefined };
  }
}

interface Resolved {
  readonly value: unknown;
  /** Made up, or left open. */
  readonly invented: boolean;
}

interface Loop {
  readonly each: Readonly<Record<string, unknown>>;
  /** Its elements are made up, or not to be known. */
  readonly open: boolean;
}
