import type { Lane } from "../../../protocol/index.ts";

/** What a ledger that was restored knows of what it lost, by its gateways' word; of the newest restore alone, but for the list of restores. */
export interface RecoveryTables {
  /** Each time that the ledger became another incarnation. */
  recoveries: {
    number: number;
    incarnation: string;
    before: string;
    began_at: number;
    /** When the backup was taken, UTC; null where nothing says so: a standby took over, or somebody restored by hand. */
    backup_at: string | null;
    /** The audit log's length then: what people did later is not in this ledger. */
    audit_entries: number;
    /** When its last entry was made, UTC. */
    audit_at: string | null;
  };
  /** Sites whose gateways said hello since. */
  recovery_sites: { site: string; heard_at: number };
  /** What each of their lanes had, when they said hello. */
  recovery_lanes: {
    site: string;
    lane: Lane;
    epoch: string;
    /** How far the restored ledger had it. */
    watermark: number;
    /** How far the gateway had it acknowledged before; null: it did not say yet. */
    acknowledged: number | null;
    /** Messages of the epoch before that are missing here, where its gateway does not name that one any more. */
    not_coming: number;
    /** 1: the gateway's last hello named it, so that what is missing of it comes, although it may have left it. */
    named: number;
  };
}
