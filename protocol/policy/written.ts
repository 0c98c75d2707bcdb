import type { Site, Template } from "../document.ts";
import type { EffectiveValue, ValueOrigin } from "./origin.ts";
import type { Written } from "./voices.ts";

const placeholder = /\$\{([^}]*)\}/g;

/** Where values come from that a template writes, whole or by what it fills in. */
export class TemplateText {
  readonly #template: Template;
  readonly #site: Site;

  constructor(template: Template, site: Site) {
    this.#template = template;
    this.#site = site;
  }

  /**
   * A value as it was rendered, if the template writes it. `path` leads to it from the spec: `["flows", "release", "retry", "attempts"]`;
   * what the template fills in as a whole may stand further up (`retry: "${retry}"`).
   */
  written(path: readonly (string | number)[], rendered: unknown): Written | undefined {
    if (rendered === undefined) return undefined;
    let raw: unknown = this.#template.spec;
    for (const step of path) {
      if (typeof raw !== "object" || raw === null) break;
      raw = (raw as Record<string | number, unknown>)[step];
    }
    const [kind = "", group = ""] = path;
    const { forEach } = (this.#template.spec[kind as "flows"]?.[String(group)] ?? {}) as { forEach?: unknown };
    return { value: rendered, origin: this.#origin(raw, forEach) };
  }

  /** A parameter of the site: given, else the template's default. */
  parameter(name: string, value: unknown): EffectiveValue {
    const fallback = this.#template.spec.parameters[name]?.default;
    const because = "the default that the template gives it";
    const byDefault: Written = { value: fallback, origin: { from: "template", document: this.#templateName, because } };
    const path = `parameters.${name}`;
    if (!this.#isGiven(name)) return { path, ...byDefault, value, overrides: [] };
    const origin: ValueOrigin = { from: "site", document: this.#siteName, because: "the Site document gives it" };
    return { path, value, origin, overrides: fallback === undefined ? [] : [byDefault] };
  }

  #origin(raw: unknown, forEach: unknown): ValueOrigin {
    const names = referencesOf(raw).map((reference) => ({ reference, root: reference.split(".")[0] ?? "" }));
    const roots = names.flatMap(({ root }) =>
      root === "each" ? referencesOf(forEach).map((each) => each.split(".")[0] ?? "") : [root],
    );
    const filled = names.map(({ reference }) => `\${${reference}}`).join(", ");
    const given = [...new Set(roots.filter((root) => root !== "site" && this.#isGiven(root)))];
    if (given.length > 0) {
      const what = given.map((name) => `"${name}"`).join(" and ");
      return {
        from: "site",
        document: this.#siteName,
        because: `the template writes ${filled}, and the Site document gives ${what}`,
      };
    }
    if (roots.includes("site"))
      return { from: "site", document: this.#siteName, because: `the template writes ${filled}, which the Site document says` };
    const because = names.length > 0 ? `the template writes ${filled}, of which it has the default` : "the template writes it";
    return { from: "template", document: this.#templateName, because };
  }

  #isGiven(parameter: string): boolean {
    return Object.hasOwn(this.#site.spec.parameters, parameter);
  }

  get #templateName(): string {
    return `Template/${this.#template.metadata.name}`;
  }

  get #siteName(): string {
    return `Site/${this.#site.metadata.name}`;
  }
}

function referencesOf(raw: unknown): string[] {
  return typeof raw === "string" ? [...raw.matchAll(placeholder)].map(([, reference = ""]) => reference.trim()) : [];
}
