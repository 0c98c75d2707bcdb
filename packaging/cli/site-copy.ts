import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";

/** What a person has to see to before a copied site is one of its own. */
export interface Finding {
  readonly kind: "parameter" | "secret" | "code" | "label" | "grant";
  readonly path: string;
  readonly why: string;
}
export interface CopiedSite {
  readonly document: unknown;
  readonly findings: readonly Finding[];
}
export interface TemplateText {
  readonly name: string;
  readonly text: string;
}

const siteDocument = z.looseObject({
  kind: z.literal("Site"),
  metadata: z.looseObject({ name: z.string(), purpose: z.string(), labels: z.record(z.string(), z.string()).optional() }),
  spec: z.looseObject({ template: z.string(), parameters: z.record(z.string(), z.unknown()).default({}) }),
});
const templateDocument = z.looseObject({
  kind: z.literal("Template"),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({
    parameters: z.record(z.string(), z.looseObject({ default: z.unknown().optional() })).default({}),
    codes: z.record(z.string(), z.record(z.string(), z.string())).default({}),
  }),
});
type Template = z.infer<typeof templateDocument>;

/**
 * Another site's document under a new name. A value that is plainly the other one's, an address or its name, is left out: the draft does not pass
 * review before somebody has given the new site's own, and no plant ever speaks to the machines of another.
 */
export function copySite(from: {
  readonly name: string;
  readonly environment: string;
  readonly like: string;
  readonly text: string;
  readonly templates: readonly TemplateText[];
  /** Names that the other site's configuration uses. */
  readonly secrets: readonly string[];
}): CopiedSite {
  const { name, environment, like } = from;
  const other = documentsIn(from.text, siteDocument).find(({ metadata }) => metadata.name === like);
  if (!other) throw new PlantgateError("CONFIG_INVALID", `the Site document "${like}" cannot be read`);
  const templates = from.templates.flatMap(({ text }) => documentsIn(text, templateDocument));
  const findings: Finding[] = [];
  const parameters: Record<string, unknown> = {};
  for (const [parameter, value] of Object.entries(other.spec.parameters)) {
    const said = specifics(value, like);
    if (said.length === 0) parameters[parameter] = value;
    else
      findings.push({
        kind: "parameter",
        path: parameter,
        why: `missing: that of ${like} is its own (${said.slice(0, 3).join(", ")})`,
      });
  }
  const template = templates.find(({ metadata }) => metadata.name === other.spec.template);
  findings.push(...missingParameters(template, other.spec.parameters, parameters, findings));
  for (const secret of from.secrets)
    findings.push({
      kind: "secret",
      path: secret,
      why: `plantgate secret set ${secret} --site ${name}, unless one value serves all sites`,
    });
  findings.push(...missingCodes(templates, name, like));
  const labels = { ...other.metadata.labels, environment };
  for (const [label, value] of Object.entries(labels))
    if (label !== "environment")
      findings.push({ kind: "label", path: label, why: `"${value}" as at ${like}: policies are selected by it` });
  const document = {
    ...other,
    metadata: { ...other.metadata, name, purpose: other.metadata.purpose.replaceAll(like, name), labels },
    spec: { ...other.spec, parameters },
  };
  return { document, findings };
}

/** Those that neither has and the template gives no default for. */
function missingParameters(
  template: Template | undefined,
  others: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
  told: readonly Finding[],
): Finding[] {
  const known = new Set([...Object.keys(given), ...told.map(({ path }) => path)]);
  return Object.entries(template?.spec.parameters ?? {})
    .filter(([parameter, { default: fallback }]) => !known.has(parameter) && !(parameter in others) && fallback === undefined)
    .map(([path]) => ({ kind: "parameter" as const, path, why: "missing: the template has no default" }));
}

/** Tables in which the other site is named and the new one is not. */
function missingCodes(templates: readonly Template[], name: string, like: string): Finding[] {
  return templates.flatMap(({ metadata, spec }) =>
    Object.entries(spec.codes).flatMap(([scheme, codes]): Finding[] => {
      const names = Object.values(codes);
      if (!names.includes(like) || names.includes(name)) return [];
      const code = Object.entries(codes).find(([, value]) => value === like)?.[0];
      return [
        { kind: "code", path: `${metadata.name}: ${scheme}`, why: `missing: ${like} has "${code}" in it, ${name} has none` },
      ];
    }),
  );
}

const address = /^[a-z][a-z0-9+.-]*:\/\/|^\d{1,3}(\.\d{1,3}){3}(:\d+)?$|^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?$/i;

/** Texts of a value that are an address, or name the other site. */
function specifics(value: unknown, like: string): string[] {
  if (typeof value === "string") return address.test(value) || namesSite(value, like) ? [value] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap((part) => specifics(part, like));
}

function namesSite(text: string, site: string): boolean {
  const escaped = site.replaceAll(/[-]/g, "\\-");
  return new RegExp(`(^|[^a-z0-9])${escaped}([^a-z0-9]|$)`, "i").test(text);
}

function documentsIn<Schema extends z.ZodType>(text: string, schema: Schema): z.infer<Schema>[] {
  return parseAllDocuments(text).flatMap((parsed) => {
    const document = schema.safeParse(parsed.toJS());
    return document.success ? [document.data] : [];
  });
}
