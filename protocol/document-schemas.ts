import { z } from "zod";
import { bundle } from "./bundle.ts";
import { policy, secret, site, template } from "./document.ts";
import { connectorConfig, flowConfig } from "./flow-config.ts";

type Json = Readonly<Record<string, unknown>>;

const schemas = {
  Template: { schema: template, description: "A template, before it is rendered for a site" },
  Policy: { schema: policy, description: "What many sites have in common, selected by their labels" },
  Site: { schema: site, description: "One site: its template, parameters and grants, and what it says before all policies" },
  Secret: { schema: secret, description: "That there is a secret, and how often it changes; never its value" },
  Bundle: { schema: bundle, description: "What one site runs, rendered" },
} as const;
export type DocumentSchemaKind = keyof typeof schemas;
export const documentSchemaKinds = Object.keys(schemas) as DocumentSchemaKind[];

/** JSON Schema (2020-12) of a kind of document, as editors use it and central serves it. */
export function documentSchema(kind: DocumentSchemaKind): Json {
  const { schema, description } = schemas[kind];
  const { $schema, ...rest } = toJson(schema);
  const whole = kind === "Template" ? withParts(rest) : rest;
  return { $schema, $id: `urn:plantgate:schema:${kind.toLowerCase()}`, description, ...whole };
}

function toJson(schema: z.ZodType): Json {
  return z.toJSONSchema(schema, { target: "draft-2020-12", io: "input", unrepresentable: "any" }) as Json;
}

/**
 * A template's connectors and flows are judged once they are rendered. For editors they have the shape that they have then, except that any
 * value may be filled in.
 */
function withParts(schema: Json): Json {
  const { properties } = schema as { properties: { spec: { properties: Record<string, Json> } } };
  const part = (field: string, of: z.ZodType): Json => {
    const { $schema: _, ...shape } = toJson(of);
    return { ...properties.spec.properties[field], additionalProperties: withLoop(fillable(shape)) };
  };
  const spec = {
    ...properties.spec,
    properties: {
      ...properties.spec.properties,
      connectors: part("connectors", connectorConfig),
      flows: part("flows", flowConfig),
    },
  };
  return { ...schema, properties: { ...properties, spec } };
}

/** The same with `forEach` beside its own fields. */
function withLoop(schema: Json): Json {
  const choices = choicesOf(schema);
  if (choices) return { ...schema, [choices.key]: choices.of.map(withLoop) };
  if (schema.type !== "object") return schema;
  const forEach = {
    type: "string",
    description: "One for each element of this list parameter, ${presses}; ${each.name} and its other fields name the element.",
  };
  return { ...schema, properties: { forEach, ...(schema.properties as Json) } };
}

/** What stands here may come from a parameter, whole or in part. A constant tells what all else is, and stands as it is. */
function fillable(schema: Json, isTop = true): Json {
  if (Object.hasOwn(schema, "const")) return schema;
  const choices = choicesOf(schema);
  if (choices) return { ...schema, [choices.key]: choices.of.map((each) => fillable(each, isTop)) };
  const inner: Json = {
    ...schema,
    ...(schema.properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(schema.properties as Record<string, Json>).map(([key, each]) => [key, fillable(each, false)]),
          ),
        }),
    ...(typeof schema.additionalProperties === "object" && schema.additionalProperties !== null
      ? { additionalProperties: fillable(schema.additionalProperties as Json, false) }
      : {}),
    ...(schema.items === undefined ? {} : { items: fillable(schema.items as Json, false) }),
  };
  const takesAnyText = schema.type === "string" && ["pattern", "format", "enum"].every((key) => schema[key] === undefined);
  if (isTop || takesAnyText) return inner;
  const { description, default: fallback, ...rest } = inner;
  const pattern = schema.type === "string" ? "\\$\\{[^}]+\\}" : "^\\$\\{[^}]+\\}$";
  return {
    ...(description === undefined ? {} : { description }),
    ...(fallback === undefined ? {} : { default: fallback }),
    anyOf: [rest, { type: "string", pattern }],
  };
}

function choicesOf(schema: Json): { readonly key: "anyOf" | "oneOf"; readonly of: readonly Json[] } | undefined {
  for (const key of ["anyOf", "oneOf"] as const)
    if (Array.isArray(schema[key])) return { key, of: schema[key] as readonly Json[] };
  return undefined;
}
