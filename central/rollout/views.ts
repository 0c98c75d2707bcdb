import { toInstant } from "../../protocol/index.ts";
import { type Actor, may, type Role } from "../auth/actor.ts";
import { rolloutStrategy } from "../http/api/changes.ts";
import type { RolloutSummary, RolloutView } from "../http/api/rollouts.ts";
import { gatewayOf, parseCarried } from "../release/carried.ts";
import { inSnapshot, type Storage, type StorageTransaction } from "../storage/storage.ts";
import { toRollout } from "./records.ts";
import type { Decision } from "./rollouts.ts";
import { type RolloutRecord, summarize, terminalStates } from "./state.ts";

/** Who may decide what: whoever is on duty may stop it; to go on or back again is a decision of those who make and read changes. */
export const decisionRoles: Readonly<Record<Decision, readonly Role[]>> = {
  pause: ["operator", "engineer", "approver"],
  resume: ["engineer", "approver"],
  abort: ["engineer", "approver"],
};
const decidable: Readonly<Record<Decision, readonly string[]>> = {
  pause: ["running"],
  resume: ["paused"],
  abort: ["queued", "running", "paused"],
};

/** Rollouts as people see them; the newest first. */
export async function listRollouts(
  storage: Storage,
  wanted: { readonly environment?: string | undefined; readonly change?: number | undefined; readonly limit: number },
): Promise<RolloutSummary[]> {
  return inSnapshot(storage, async (tx) => {
    const rows = await rolloutsIn(tx)
      .$if(wanted.environment !== undefined, (query) => query.where("rollouts.environment", "=", wanted.environment ?? ""))
      .$if(wanted.change !== undefined, (query) => query.where("rollouts.change", "=", wanted.change ?? 0))
      .orderBy("rollouts.number", "desc")
      .limit(wanted.limit)
      .execute();
    if (rows.length === 0) return [];
    const states = await tx
      .selectFrom("rollout_sites")
      .select(["rollout", "state"])
      .select((eb) => eb.fn.countAll<number>().as("count"))
      .where(
        "rollout",
        "in",
        rows.map(({ number }) => number),
      )
      .groupBy(["rollout", "state"])
      .execute();
    const counted = Map.groupBy(states, ({ rollout }) => rollout);
    return rows.map((row) => toSummary(row, counted.get(row.number) ?? []));
  });
}

/** One rollout with its waves, its sites and what happened. */
export async function viewRollout(storage: Storage, number: number, actor: Actor): Promise<RolloutView | undefined> {
  return inSnapshot(storage, async (tx) => {
    const row = await rolloutsIn(tx).where("rollouts.number", "=", number).executeTakeFirst();
    if (!row) return undefined;
    const sites = await tx
      .selectFrom("rollout_sites as each")
      .innerJoin("sites", "sites.name", "each.site")
      .selectAll("each")
      .select(["sites.reported_revision", "sites.status"])
      .where("rollout", "=", number)
      .orderBy("each.site")
      .execute();
    const events = await tx
      .selectFrom("rollout_events")
      .selectAll()
      .where("rollout", "=", number)
      .orderBy("number", "desc")
      .limit(eventsShown)
      .execute();
    const rollout = toRollout(row);
    const counts = [...Map.groupBy(sites, ({ state }) => state)].map(([state, own]) => ({ state, count: own.length }));
    return {
      ...toSummary(row, counts),
      strategy: rolloutStrategy.parse(JSON.parse(row.strategy)),
      plan: rollout.plan.waves.map(({ title }, wave) => {
        const own = sites.filter((site) => site.wave === wave);
        return {
          wave,
          title,
          state: waveState(rollout, wave, own),
          heldMs: wave === rollout.wave ? rollout.heldMs : 0,
          windowMs: rollout.plan.limits.windowMs,
          sites: own.map((site) => ({
            site: site.site,
            state: site.state as RolloutView["plan"][number]["sites"][number]["state"],
            reason: site.reason,
            fromRevision: site.from_revision,
            toRevision: site.to_revision,
            reportedRevision: site.reported_revision,
            fromVersion: site.from_version,
            toVersion: site.to_version,
            reportedVersion: site.to_version === null ? null : (gatewayOf(site.status)?.version ?? null),
            upgrade: site.to_version === null ? null : (gatewayOf(site.status)?.upgrade?.state ?? null),
            updatedAt: toInstant(site.updated_at),
          })),
        };
      }),
      events: events
        .reverse()
        .map(({ number: place, at, site, kind, text }) => ({ number: place, at: toInstant(at), site, kind, text })),
      may: Object.fromEntries(
        (["pause", "resume", "abort"] as const).map((decision) => [
          decision,
          judge(decision, rollout.state, row.environment, actor),
        ]),
      ),
    };
  });
}

/** Events of one answer: a fleet of a thousand has a few each. */
const eventsShown = 5000;

function rolloutsIn(tx: StorageTransaction) {
  return tx
    .selectFrom("rollouts")
    .innerJoin("changes", "changes.number", "rollouts.change")
    .selectAll("rollouts")
    .select(["changes.title", "changes.strategy", "changes.release"]);
}
type Row = Awaited<ReturnType<ReturnType<typeof rolloutsIn>["executeTakeFirstOrThrow"]>>;

function toSummary(row: Row, counted: readonly { readonly state: string; readonly count: number }[]): RolloutSummary {
  const { state, plan } = toRollout(row);
  const states = counted.flatMap(({ state: each, count }) => Array.from({ length: Number(count) }, () => ({ state: each })));
  return {
    number: row.number,
    change: row.change,
    title: row.title,
    release: parseCarried(row.release)?.version ?? null,
    environment: row.environment,
    state,
    wave: row.wave,
    waves: plan.waves.length,
    counts: Object.fromEntries(counted.map(({ state: each, count }) => [each, Number(count)])) as RolloutSummary["counts"],
    summary: state === "queued" ? "waits for its turn" : summarize(states as Parameters<typeof summarize>[0], isOver(state)),
    reason: row.reason,
    createdAt: toInstant(row.created_at),
    updatedAt: toInstant(row.updated_at),
    endedAt: row.ended_at === null ? null : toInstant(row.ended_at),
  };
}

function waveState(
  rollout: RolloutRecord,
  wave: number,
  sites: readonly { readonly state: string }[],
): RolloutView["plan"][number]["state"] {
  if (wave > rollout.wave || rollout.state === "queued") return "waiting";
  if (rollout.state === "done" || wave < rollout.wave) return "passed";
  if (rollout.ending !== null) return "failed";
  return sites.some(({ state }) => state === "told" || state === "waiting") ? "updating" : "watching";
}

export function judge(
  decision: Decision,
  state: string,
  environment: string,
  actor: Actor,
): { allowed: boolean; reason?: string } {
  const wanted = decisionRoles[decision];
  if (!may(actor, wanted, environment)) return { allowed: false, reason: `this takes the role ${wanted.join(" or ")}` };
  if (decidable[decision].includes(state)) return { allowed: true };
  if (isOver(state)) return { allowed: false, reason: `it has ended (${state})` };
  return { allowed: false, reason: state === "putting-back" ? "it is put back already" : `it is ${state}` };
}

function isOver(state: string): boolean {
  return (terminalStates as readonly string[]).includes(state);
}
