import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { centralSettings } from "../central/settings/schema.ts";
import { gatewaySettings } from "../gateway/settings/schema.ts";
import { cloudEvent, documentSchema, documentSchemaKinds, messageTypes, schemaId } from "../protocol/index.ts";

/**
 * Writes what is said once, in zod schemas, and never by hand: the JSON Schemas (2020-12) of messages and documents into packaging/schemas, and the page of
 * settings. `--check` writes nothing and fails when what lies there is not what would be written.
 */
const folder = join(dirname(fileURLToPath(import.meta.url)), "schemas");
const settingsPage = join(dirname(fileURLToPath(import.meta.url)), "docs/settings.md");

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

const settingShape = z.object({
  type: z.string().optional(),
  enum: z.array(z.string()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  unit: z.string().optional(),
  default: z.unknown().optional(),
  description: z.string(),
});

function settings(): string {
  const rows = (schema: z.ZodType): string => {
    const { properties = {} } = z.toJSONSchema(schema, { unrepresentable: "any" });
    return Object.entries(properties)
      .map(([name, json]) => {
        const setting = settingShape.parse(json);
        const preset = setting.default === undefined ? "" : `\`${JSON.stringify(setting.default).replace(/^"(.*)"$/, "$1")}\``;
        return `| \`${name}\` | ${preset} | ${takes(setting)} | ${setting.description} |`;
      })
      .join("\n");
  };
  const head = "| name | default | takes | what it is |\n|---|---|---|---|";
  return `# Settings

What \`/etc/plantgate/gateway.yaml\` and \`/etc/plantgate/central.yaml\` take: one \`name: value\` a line, read at the start. A name that is not here ends the start with a
sentence. What the command line says counts more (\`plantgate gateway --help\`, \`plantgate central --help\`). The packages say \`dataDir\`, \`credentialsDir\`, \`installedDir\` and
\`consoleDir\` themselves: leave these out. What else a gateway does comes from central, with its site's
[documents](policies.md). This page is made from the schemas in the sources (\`npm run generate\`).

## Gateway

What \`plantgate enroll\` was told need not be said again: \`site\`, \`centralUrl\`, \`centralKeyFile\`, \`centralCaFile\`, \`centralPin\`, \`proxy\`.

${head}
${rows(gatewaySettings)}

## Central

${head}
${rows(centralSettings)}
`;
}

/** Values of a setting, in a few words. */
function takes({ type, enum: words, minimum, maximum, unit }: z.infer<typeof settingShape>): string {
  if (words) return words.join(", ");
  const of = unit === undefined ? "" : ` ${unit}`;
  // a safe integer is no bound that anybody chose
  const most = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (minimum !== undefined) return `${minimum} ${most === undefined ? "or more" : `to ${most}`}${of}`;
  return { string: "text", boolean: "true, false", array: "a list" }[type ?? ""] ?? "a number";
}

function listFiles(): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const wanted = schemas();
const wantedPage = settings();
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
  if (!existsSync(settingsPage) || readFileSync(settingsPage, "utf8") !== wantedPage) {
    process.stderr.write('packaging/docs/settings.md is not what the sources say: run "npm run generate"\n');
    process.exitCode = 1;
  }
} else {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of wanted) writeFileSync(join(folder, name), text);
  writeFileSync(settingsPage, wantedPage);
  process.stdout.write(`${wanted.size} schemas written to packaging/schemas, settings to packaging/docs/settings.md\n`);
}
