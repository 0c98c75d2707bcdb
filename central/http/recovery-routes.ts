import { createRoute } from "@hono/zod-openapi";
import { type Clock, toInstant } from "../../protocol/index.ts";
import { readNote } from "../backup/note.ts";
import { overdueNow } from "../backup/overdue.ts";
import type { Recovery } from "../recovery/recovery.ts";
import type { Storage } from "../storage/storage.ts";
import type { Guards } from "./access.ts";
import { backupAnswer, recoveryAnswer } from "./api/recovery.ts";
import { callerProblems, callsOf, jsonAnswer, makeRouter, problems } from "./openapi.ts";

export interface RecoveryRouteDeps {
  readonly recovery: Recovery;
  readonly reading: Storage;
  readonly dataDir: string;
  readonly backupOverdueDays: number;
  readonly clock: Clock;
  readonly guards: Guards;
}

/** Backups, and how far a restored ledger is; for whoever is signed in. */
export function recoveryRoutes({ recovery, reading, dataDir, backupOverdueDays, clock, guards }: RecoveryRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const shared = { method: "get" as const, tags: ["recovery"], ...calls.reads };

  app.openapi(
    createRoute({
      ...shared,
      path: "/recovery",
      operationId: "getRecovery",
      summary: "How far gateways have brought a restored ledger",
      responses: { 200: jsonAnswer("Site by site, what is stuck first", recoveryAnswer), ...problems(...callerProblems) },
    }),
    async (c) => c.json(await recovery.view(), 200),
  );

  app.openapi(
    createRoute({
      ...shared,
      path: "/backup",
      operationId: "getBackup",
      summary: "The last good backup",
      responses: { 200: jsonAnswer("As the command noted it in the data folder", backupAnswer), ...problems(...callerProblems) },
    }),
    async (c) => {
      const lastBackup = (await readNote(reading, dataDir)) ?? null;
      const overdue = await overdueNow({ storage: reading, dataDir, overdueDays: backupOverdueDays });
      return c.json({ at: toInstant(clock.now()), lastBackup, overdue }, 200);
    },
  );

  return app;
}
