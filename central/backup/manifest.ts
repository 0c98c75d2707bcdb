import { z } from "zod";
import { lanes, PlantgateError } from "../../protocol/index.ts";

const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** How backups are written; a reader that knows an older number reads no newer one. */
export const backupFormat = 1;

/** What a ledger held when it was copied. */
export const ledgerFacts = z.object({
  /** The steps of the schema that it went through, in order. */
  steps: z.array(z.string()).min(1),
  incarnation: z.string().nullable(),
  /** The highest position that was given out. */
  positions: count,
  audit: z.object({ entries: count, head: sha256 }),
  signingKey: z.string().nullable(),
  /** Values of secrets that lie sealed in it, and the names of the keys that they are sealed under. */
  secrets: z.object({ sealed: count, keys: z.array(z.string()) }),
  tables: z.record(z.string(), count),
  lanes: z.array(z.object({ site: z.string(), lane: z.enum(lanes), recorded: count })),
});
export type LedgerFacts = z.infer<typeof ledgerFacts>;

const partNames = ["ledger.db", "ledger.pgdump", "signing-key.json", "signing-key.next.json"] as const;
export type PartName = (typeof partNames)[number];

/** `manifest.json`: the first file of a backup, which says what the others are. */
export const manifest = z.object({
  kind: z.literal("CentralBackup"),
  format: z.int().min(1),
  /** Names this backup; the file of keys that was made with it says the same. */
  id: z.string().min(1).max(64),
  takenAt: z.iso.datetime(),
  /** Of the program that made it. */
  version: z.string().max(64),
  storage: z.enum(["sqlite", "postgres"]),
  /** Of the server, on PostgreSQL. */
  server: z.string().optional(),
  /** Where its tables lay, on PostgreSQL: they come back into a schema of the same name. */
  schema: z.string().optional(),
  ledger: ledgerFacts,
  parts: z.array(z.object({ name: z.enum(partNames), bytes: count, sha256 })).min(1),
});
export type Manifest = z.infer<typeof manifest>;

/** @throws PlantgateError FORMAT_NEWER; INPUT_INVALID */
export function parseManifest(text: string): Manifest {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new PlantgateError("INPUT_INVALID", "it is no whole backup: its manifest is no JSON", { cause });
  }
  const head = manifest.pick({ kind: true, format: true, version: true }).safeParse(content);
  if (!head.success) throw new PlantgateError("INPUT_INVALID", "it is no backup of a Plantgate central");
  if (head.data.format > backupFormat)
    throw new PlantgateError(
      "FORMAT_NEWER",
      `this backup is of format ${head.data.format}, made by Plantgate ${head.data.version}; this program reads up to ${backupFormat}: use that version or a newer one`,
    );
  const parsed = manifest.safeParse(content);
  if (parsed.success) {
    const { storage, parts } = parsed.data;
    const needed = [storage === "sqlite" ? "ledger.db" : "ledger.pgdump", "signing-key.json"];
    const lacking = needed.find((name) => !parts.some((part) => part.name === name));
    if (lacking === undefined) return parsed.data;
    throw new PlantgateError("INPUT_INVALID", `it is no whole backup: ${lacking} is not in it`);
  }
  const [issue] = parsed.error.issues;
  throw new PlantgateError(
    "INPUT_INVALID",
    `it is no whole backup: its manifest cannot be read: ${issue?.path.join(".")}: ${issue?.message}`,
  );
}
