import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { PlantgateError } from "../../protocol/index.ts";
import { schemaSteps } from "../storage/migrations.ts";
import { readArchive, type Sink } from "./archive.ts";
import type { Manifest } from "./manifest.ts";
import type { RestoreOptions } from "./restore.ts";
import { requireRoom } from "./room.ts";

/** Reads the backup whole into the stage; nothing of it counts before its last byte was judged. */
export async function unpack(
  source: number,
  { dataDir, databaseUrl, recoveryKey, progress }: RestoreOptions,
  stage: string,
): Promise<Manifest> {
  const accept = (manifest: Manifest): void => {
    requireKnownSteps(manifest);
    if (manifest.storage === "postgres" && databaseUrl === undefined)
      throw new PlantgateError(
        "CONFIG_INVALID",
        "this backup is of a central on PostgreSQL: name the database that it goes into with --database",
      );
    if (manifest.storage === "sqlite" && databaseUrl !== undefined)
      throw new PlantgateError(
        "CONFIG_INVALID",
        "this backup is of a central on SQLite, whose ledger is a file of its folder: leave --database out",
      );
    requireRoom(
      dataDir,
      manifest.parts.reduce((sum, { bytes }) => sum + bytes, 0),
      "the restored ledger",
    );
  };
  const sink: Sink = (part) => {
    const stream = createWriteStream(join(stage, part), { mode: 0o600, flags: "wx", flush: true });
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {});
    stream.on("error", failed.reject);
    return {
      async write(piece) {
        if (!stream.write(piece)) await Promise.race([once(stream, "drain"), failed.promise]);
      },
      async end() {
        stream.end();
        await Promise.race([once(stream, "close"), failed.promise]);
      },
    };
  };
  const opener = recoveryKey === undefined ? undefined : { pem: recoveryKey };
  return readArchive(source, { opener, accept, sink, progress: progress?.("reading") });
}

/** @throws PlantgateError FORMAT_NEWER for a ledger that a newer program wrote */
export function requireKnownSteps({ ledger, version }: Manifest): void {
  const unknown = ledger.steps.filter((step) => !schemaSteps.includes(step));
  if (unknown.length > 0)
    throw new PlantgateError(
      "FORMAT_NEWER",
      `this backup is of a newer ledger (step ${unknown.at(-1)}), made by Plantgate ${version}: restore it with that version or a newer one`,
    );
}
