import { z } from "zod";
import { laneName } from "../../../protocol/index.ts";

/** Shapes of what people ask about backups, and about what comes again after a restore. Instants are UTC text. */

const laneState = z.enum(["waiting", "catching-up", "stuck", "caught-up", "caught-up-with-loss"]);
export type LaneRecoveryState = z.infer<typeof laneState>;
export const siteRecoveryStates = [
  "stuck",
  "not-heard",
  "catching-up",
  "caught-up-with-loss",
  "no-gateway",
  "caught-up",
] as const;
const siteState = z.enum(siteRecoveryStates);
export type SiteRecoveryState = z.infer<typeof siteState>;

const laneRecovery = z.object({
  lane: laneName,
  epoch: z.string(),
  state: laneState,
  reason: z.string().meta({ description: "One sentence for a person." }),
  restored: z.int().meta({ description: "The last sequence that the restored ledger had." }),
  acknowledged: z.int().nullable().meta({
    description: "The last sequence that the gateway had acknowledged before; null: it has not said so yet.",
  }),
  recorded: z.int().meta({ description: "The last sequence that is recorded now, holes included." }),
  missed: z.int().meta({ description: "Messages that the ledger lost, by the gateway's word: what has to come again." }),
  again: z.int().meta({ description: "Of these, recorded again." }),
  lost: z.int().meta({
    description:
      "Of these, never to come: their gateway had deleted them, or left their epoch. Of an epoch that began after the backup: at most.",
  }),
});

const siteRecovery = z
  .object({
    site: z.string(),
    state: siteState,
    heardAt: z.string().nullable().meta({ description: "When its gateway first said hello since; null: not yet." }),
    lastHeardAt: z.string().nullable().meta({ description: "When it was last heard at all, as this ledger knows." }),
    lanes: z.array(laneRecovery),
    revision: z
      .object({ reported: z.int(), known: z.int() })
      .nullable()
      .meta({ description: "It runs a revision that this ledger does not know: pushed or rolled out after the backup." }),
  })
  .meta({ id: "SiteRecovery" });
export type SiteRecovery = z.infer<typeof siteRecovery>;

export const recoveryAnswer = z.object({
  at: z.string(),
  recovery: z
    .object({
      incarnation: z.string(),
      before: z.string(),
      beganAt: z.string(),
      backupAt: z.string().nullable().meta({
        description: "When the backup was taken; null: nothing says so, as after a failover or a restore by hand.",
      }),
      auditEntries: z.int().meta({ description: "Entries of the audit log in the backup: what people did later is not here." }),
      lastAuditAt: z.string().nullable(),
      done: z.boolean().meta({
        description: "Every site that has a gateway, as far as this ledger knows, was heard, and nothing is to come any more.",
      }),
      counts: z.record(siteState, z.int()),
      missed: z.int(),
      again: z.int(),
      lost: z.int(),
      sites: z.array(siteRecovery).meta({ description: "What is stuck first, what is done last." }),
    })
    .nullable()
    .meta({ description: "Null: this ledger was never restored." }),
});
export type RecoveryAnswer = z.infer<typeof recoveryAnswer>;

export const backupAnswer = z.object({
  at: z.string(),
  lastBackup: z
    .object({
      id: z.string(),
      takenAt: z.string(),
      file: z.string(),
      bytes: z.int(),
      keys: z.boolean().meta({ description: "Whether the keys of secrets were written beside it, to a file of their own." }),
      sealed: z.boolean(),
    })
    .nullable()
    .meta({ description: "The last one that was read back whole; null: none that this data folder knows." }),
  overdue: z.string().nullable().meta({
    description:
      "One sentence for a person, where central has run for longer than `backupOverdueDays` without a new one; null: it has not.",
  }),
});
export type BackupAnswer = z.infer<typeof backupAnswer>;
