/** Rollouts: all that the engine knows lies here, so that it goes on wherever it stopped. */
export interface RolloutTables {
  rollouts: {
    number: number;
    change: number;
    environment: string;
    state: string;
    /** Waves, gates and limits, as planned when it began; empty while it is queued. */
    plan: string;
    wave: number;
    /** How long the wave's gate has held, by running time. */
    held_ms: number;
    reason: string | null;
    /** What it ends as once its sites are put back: `aborted` or `rolled-back`; null: they are not put back. */
    ending: string | null;
    created_at: number;
    updated_at: number;
    ended_at: number | null;
    /** The replica that drives it, and until when it may. */
    driver: string;
    driver_until: number;
  };
  rollout_sites: {
    rollout: number;
    site: string;
    wave: number;
    /** Its desired revision before; 0: none. */
    from_revision: number;
    to_revision: number;
    /** Of a rollout of a version: what its gateway ran, what it is to run, and the package of each; null: of a revision, or central has none. */
    from_version: string | null;
    from_package: string | null;
    to_version: string | null;
    to_package: string | null;
    state: string;
    reason: string | null;
    /** How long it has been in this state, by running time. */
    in_state_ms: number;
    /** How long it was out of reach since it was told, and how long it was not well, by running time. */
    away_ms: number;
    unwell_ms: number;
    /** What its health is compared with: counters when it was told, and what was seen of it since. */
    baseline: string | null;
    updated_at: number;
  };
  rollout_events: { rollout: number; number: number; at: number; site: string; kind: string; text: string };
}
