import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { cloudEvent, documentSchema, documentSchemaKinds, messageTypes, schemaId } from "../protocol/index.ts";

/**
 * Writes the JSON Schemas (2020-12) of messages and documents from their zod schemas into packaging/schemas, never by hand.
 * `--check` writes nothing and fails when what lies there is not what would be written.
 */
const folder = join(dirname(fileURLToPath(import.meta.url)), "schemas");

function schemas(): Map<string, string> {
  const files = new Map<string, string>();
  const add = (name: string, id: string, schema: z.ZodType, description?: string): void => {
    const { $schema, ...rest } = z.toJSONSchema(schema, { target: "draft-2020-12", io: "input", unrepresentable: "any" });
    files.set(
      `${name}.schema.json`,
      `${JSON.stringify({ $schema, $id: id, ...(description === undefined ? {} : { description }), ...rest }, null, 2)}\n`,
    );
  };
  for (const type of messageTypes) add(type.type, schemaId(type.type), type.data, type.purpose);
  add("cloudevent", "urn:plantgate:schema:cloudevent", cloudEvent, "CloudEvents 1.0 with Plantgate's extensions");
  for (const kind of documentSchemaKinds)
    files.set(`${kind.toLowerCase()}.schema.json`, `${JSON.stringify(documentSchema(kind), null, 2)}\n`);
  return files;
}

function listFiles(): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const wanted = schemas();
if (process.argv.includes("--check")) {
  const stale = [...wanted]
    .filter(([name, text]) => !listFiles().includes(name) || readFileSync(join(folder, name), "utf8") !== text)
    .map(([name]) => name);
  const extra = listFiles().filter((name) => !wanted.has(name));
  if (stale.length + extra.length > 0) {
    process.stderr.write(
      `packaging/schemas is not what the sources say (${[...stale, ...extra].join(", ")}): run "npm run generate"\n`,
    );
    process.exitCode = 1;
  }
} else {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of wanted) writeFileSync(join(folder, name), text);
  process.stdout.write(`${wanted.size} schemas written to packaging/schemas\n`);
}
