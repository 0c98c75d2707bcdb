import { Ingest } from "../../central/ledger/ingest.ts";
import { Projector } from "../../central/ledger/projector.ts";
import { Hints } from "../../central/router/hints.ts";
import { Routes } from "../../central/router/routes.ts";
import type { OpenDatabase } from "../../central/storage/database.ts";
import { openStorage } from "../../central/storage/storage.ts";
import { openLogger } from "../../central/telemetry/logger.ts";
import { systemClock } from "../../protocol/index.ts";

/** The ledger's parts on one file, without HTTP and without anything that runs by itself. */
export async function openLedger(file: string, openDatabase?: OpenDatabase) {
  const storage = await openStorage(file, openDatabase);
  const routes = new Routes(storage);
  await routes.load();
  const log = openLogger({ level: "silent" });
  const clock = systemClock;
  return {
    storage,
    routes,
    ingest: new Ingest({ storage, clock }),
    projector: new Projector({ storage, routes, hints: new Hints(), clock, log }),
  };
}
