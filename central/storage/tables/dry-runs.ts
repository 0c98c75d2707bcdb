/** Questions to gateways: what a candidate configuration makes of what they recorded. */
export interface DryRunTables {
  dry_runs: {
    id: string;
    site: string;
    change: number | null;
    /** The candidate, signed, as its gateway fetches it. */
    jws: string;
    /** Recorded inputs to run at most. */
    messages: number;
    state: string;
    asked_at: number;
    asked_by: string;
    ended_at: number | null;
    /** What differs, or why it failed. */
    result: string | null;
  };
  /** What flows in shadow would have done otherwise than the live ones, as their gateways report it. */
  shadow_reports: { site: string; flow: string; at: number; report: string };
}
