import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { type JsonSchema, keysAt, valuesAt } from "./schema-walk.ts";
import { yamlPlace } from "./yaml-place.ts";

/** Offers keys and named values from the schema of the document's kind. `schemaOf`: absent while it is not here, or for an unknown kind. */
export function schemaCompletion(schemaOf: (kind: string) => JsonSchema | undefined) {
  return (context: CompletionContext): CompletionResult | null => {
    const place = yamlPlace(context.state.doc.toString(), context.pos);
    if (!place) return null;
    const typed = context.state.sliceDoc(place.from, context.pos);
    if (!context.explicit && typed === "" && place.writes === "key") return null;
    if (place.path.length === 1 && place.path[0] === "kind" && place.writes === "value") {
      return { from: place.from, options: documentKinds.map((kind) => ({ label: kind, type: "enum" })), validFor: /^\w*$/ };
    }
    const schema = schemaOf(place.top.kind ?? "");
    if (!schema) return null;
    const options =
      place.writes === "key"
        ? keysAt(schema, place.path, without(place.siblings, typed)).map(toCompletion)
        : valuesAt(schema, place.path, place.siblings).map((value): Completion => ({ label: value, type: "enum" }));
    return options.length === 0 ? null : { from: place.from, options, validFor: /^[\w./-]*$/ };
  };
}

const documentKinds = ["Template", "Policy", "Site", "Secret"];

function toCompletion({ key, required, schema }: ReturnType<typeof keysAt>[number]): Completion {
  const nested = schema.type === "object" || schema.properties !== undefined;
  return {
    label: key,
    type: "property",
    boost: required ? 10 : 0,
    detail: required ? "required" : undefined,
    info: describe(schema),
    apply: nested ? `${key}:` : `${key}: `,
  };
}

function describe(schema: JsonSchema): string | undefined {
  const parts = [
    schema.description,
    schema.enum ? `One of ${schema.enum.map(String).join(", ")}.` : undefined,
    schema.default === undefined ? undefined : `Default: ${JSON.stringify(schema.default)}.`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join(" ");
}

function without(record: Readonly<Record<string, string>>, key: string): Record<string, string> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key));
}
