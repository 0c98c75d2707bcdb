/** What a JSON Schema (2020-12) has to say about one place in a document. Pure; knows the words that our generated schemas use. */

export interface JsonSchema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: boolean | JsonSchema;
  readonly required?: readonly string[];
  readonly items?: JsonSchema | boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly default?: unknown;
}

export interface KeyOffer {
  readonly key: string;
  readonly required: boolean;
  readonly schema: JsonSchema;
}

/** Every shape that the value at `path` may have; `beside` narrows unions whose members are told apart by a constant (`type: mqtt`). */
export function schemasAt(
  root: JsonSchema,
  path: readonly string[],
  beside: Readonly<Record<string, string>> = {},
): JsonSchema[] {
  let here = flat(root, root);
  for (const step of path) {
    here = here.flatMap((schema) => below(schema, step)).flatMap((schema) => flat(schema, root));
  }
  const narrowed = here.filter((schema) => agrees(schema, beside, root));
  return narrowed.length > 0 ? narrowed : here;
}

/** The keys that a mapping may have here, without those that stand there. */
export function keysAt(root: JsonSchema, path: readonly string[], beside: Readonly<Record<string, string>>): KeyOffer[] {
  const offers = new Map<string, KeyOffer>();
  for (const schema of schemasAt(root, path, beside)) {
    for (const [key, property] of Object.entries(schema.properties ?? {})) {
      if (key in beside || offers.has(key)) continue;
      offers.set(key, { key, required: schema.required?.includes(key) === true, schema: property });
    }
  }
  return [...offers.values()];
}

/** The values that are named here: of an enumeration, a constant, or yes and no. */
export function valuesAt(root: JsonSchema, path: readonly string[], beside: Readonly<Record<string, string>>): string[] {
  const parents = schemasAt(root, path.slice(0, -1), without(beside, path.at(-1)));
  const found = parents
    .flatMap((schema) => below(schema, path.at(-1) ?? ""))
    .flatMap((schema) => flat(schema, root))
    .flatMap((schema) => {
      if (schema.enum) return schema.enum;
      if (schema.const !== undefined) return [schema.const];
      return schema.type === "boolean" ? [true, false] : [];
    });
  return [...new Set(found.map(String))];
}

function below(schema: JsonSchema, step: string): JsonSchema[] {
  if (step === "-") return typeof schema.items === "object" ? [schema.items] : [];
  const property = schema.properties?.[step];
  if (property) return [property];
  return typeof schema.additionalProperties === "object" ? [schema.additionalProperties] : [];
}

/** References followed, unions and intersections laid beside each other. */
function flat(schema: JsonSchema, root: JsonSchema, depth = 0): JsonSchema[] {
  if (depth > 12) return [];
  if (schema.$ref !== undefined) {
    const named = schema.$ref === "#" ? root : root.$defs?.[schema.$ref.replace("#/$defs/", "")];
    return named ? flat(named, root, depth + 1) : [];
  }
  const parts = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  if (parts.length === 0) return [schema];
  return [...(schema.properties ? [schema] : []), ...parts.flatMap((part) => flat(part, root, depth + 1))];
}

function agrees(schema: JsonSchema, beside: Readonly<Record<string, string>>, root: JsonSchema): boolean {
  return Object.entries(schema.properties ?? {}).every(([key, property]) => {
    const stands = beside[key];
    const constants = flat(property, root).map(({ const: constant }) => constant);
    return stands === undefined || constants.some((constant) => constant === undefined || String(constant) === stands);
  });
}

function without(record: Readonly<Record<string, string>>, key: string | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key));
}

/**
 * A template is judged only once rendered, so that its own schema says little about connectors and flows. What they look like once rendered
 * is in the bundle's schema: it completes them in a template, too.
 */
export function withRenderedParts(template: JsonSchema, bundle: JsonSchema | undefined): JsonSchema {
  const spec = template.properties?.spec;
  const flow = mapped(bundle?.properties?.flows);
  const connector = mapped(bundle?.properties?.connectors)?.properties?.config;
  if (!bundle || !spec?.properties || (!flow && !connector)) return template;
  const each: JsonSchema = {
    properties: { forEach: { type: "string", description: "One for each element of a list: ${presses}" } },
  };
  const part = (name: string, rendered: JsonSchema | undefined): Record<string, JsonSchema> =>
    rendered ? { [name]: { type: "object", additionalProperties: { anyOf: [rendered, each] } } } : {};
  return {
    ...template,
    $defs: { ...bundle.$defs, ...template.$defs },
    properties: {
      ...template.properties,
      spec: { ...spec, properties: { ...spec.properties, ...part("flows", flow), ...part("connectors", connector) } },
    },
  };
}

function mapped(schema: JsonSchema | undefined): JsonSchema | undefined {
  return typeof schema?.additionalProperties === "object" ? schema.additionalProperties : undefined;
}
