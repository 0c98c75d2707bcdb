import type { Clock, HoleReason, Lane } from "../../protocol/index.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";

interface AlarmMeaning {
  readonly severity: "error" | "warn";
  readonly sentence: string;
  /** It says how something is: it stands until that ends, however long. */
  readonly lasts?: true;
}

/** What people are told of. `error`: a person must act. `warn`: something was lost or changed that the configuration allows. */
const kinds = {
  unrouted: { severity: "warn", sentence: "messages that no site takes" },
  "epoch-changed": { severity: "error", sentence: "a lane goes on under another epoch" },
  discarded: { severity: "warn", sentence: "a gateway discarded messages past its budget" },
  damaged: { severity: "error", sentence: "messages on a gateway's disk cannot be read any more" },
  locked: { severity: "error", sentence: "messages on a gateway's disk are encrypted and their key is missing" },
  "lost-by-receiver": { severity: "error", sentence: "central lost messages that it had acknowledged" },
  clone: { severity: "error", sentence: "a gateway with an older session of the site was turned away: two may run as one" },
  "ledger-damaged": { severity: "error", sentence: "recorded messages cannot be read from the ledger's disk", lasts: true },
  "configuration-damaged": { severity: "error", sentence: "a site's stored configuration cannot be read", lasts: true },
  overtaken: { severity: "error", sentence: "messages of a repaired batch were not sent behind later ones of their key" },
  "ledger-restored": { severity: "error", sentence: "the ledger was restored from a backup" },
  "downlink-set-back": { severity: "error", sentence: "a gateway acknowledged messages that this ledger does not know" },
  "downlink-lost": {
    severity: "error",
    sentence: "a gateway lost messages that it had acknowledged; whether they were delivered is not known",
  },
  "revision-failed": { severity: "error", sentence: "a site did not do well with what was rolled out to it" },
  "rolled-back": { severity: "error", sentence: "a rollout was put back by itself" },
  "rollout-refused": { severity: "warn", sentence: "an approved change could not begin to be rolled out" },
  "rollout-waits": { severity: "warn", sentence: "a rollout paused by itself and waits for a person", lasts: true },
  "secret-due": { severity: "warn", sentence: "a secret expires, is to be rotated or is missing", lasts: true },
  "backup-overdue": { severity: "error", sentence: "central has run for too long without a backup", lasts: true },
  disk: { severity: "error", sentence: "a gateway's disk is full", lasts: true },
} as const satisfies Record<string, AlarmMeaning>;
export type AlarmKind = keyof typeof kinds;
export const alarmKinds: Readonly<Record<AlarmKind, AlarmMeaning>> = kinds;

/** Events of one site, kind and lane that have a row each; those beyond are counted in one more, {@link others}. */
const maxRows = 20;
const others = "(others)";

export interface Alarm {
  /** Empty: central itself. */
  readonly site: string;
  readonly kind: AlarmKind;
  /** One sentence for a person. */
  readonly reason: string;
  /** How many messages, or how often. */
  readonly count: number;
  readonly lane?: Lane;
  readonly type?: string;
  /** What tells two of one kind apart: the site that a message named, an epoch, a session, a hole's reason. */
  readonly target?: string;
  readonly position?: number;
  readonly range?: { readonly first: number; readonly last: number };
}

/** The kind under which a hole is reported. */
export const holeAlarm: Readonly<Record<HoleReason, AlarmKind>> = {
  size: "discarded",
  count: "discarded",
  age: "discarded",
  disk: "discarded",
  damaged: "damaged",
  locked: "locked",
  "lost-by-receiver": "lost-by-receiver",
};

/** Alarms: one row per site, kind, lane, type and target, counted; each is logged when it is raised first, or again after it had ended. */
export class Alarms {
  readonly #deps: { readonly clock: Clock; readonly log: Logger };

  constructor(deps: { readonly clock: Clock; readonly log: Logger }) {
    this.#deps = deps;
  }

  /**
   * Notes alarms in the transaction of what they speak of.
   * @returns those that did not stand before; the caller logs them once the transaction is committed
   */
  async raise(tx: StorageTransaction | Storage, alarms: readonly Alarm[]): Promise<readonly Alarm[]> {
    const fresh: Alarm[] = [];
    for (const alarm of alarms) if (await this.#raise(tx, alarm)) fresh.push(alarm);
    return fresh;
  }

  /** Raises an alarm of something that lasts, unless it stands already. */
  async raiseOnce(tx: StorageTransaction | Storage, alarm: Alarm): Promise<readonly Alarm[]> {
    const known = await rowOf(tx, alarm);
    return known?.ended_at === null ? [] : this.raise(tx, [alarm]);
  }

  async #raise(tx: StorageTransaction | Storage, alarm: Alarm): Promise<boolean> {
    const known = await rowOf(tx, alarm);
    // what a gateway names, such as epochs and targets, it may name without end
    if (known || alarmKinds[alarm.kind].lasts || !(await isCrowded(tx, alarm))) return this.#write(tx, alarm, known);
    const merged = { ...alarm, type: "", target: others };
    return this.#write(tx, merged, await rowOf(tx, merged));
  }

  async #write(tx: StorageTransaction | Storage, alarm: Alarm, known: AlarmRow | undefined): Promise<boolean> {
    const { site, kind, reason, count, lane = "", type = "", target = "", position = null, range } = alarm;
    const now = this.#deps.clock.now();
    const last = {
      reason,
      last_at: now,
      ended_at: null,
      last_position: position,
      first_sequence: range?.first ?? null,
      last_sequence: range?.last ?? null,
    };
    await tx
      .insertInto("exceptions")
      .values({ site, kind, lane, type, target, severity: alarmKinds[kind].severity, count, first_at: now, ...last })
      .onConflict((conflict) =>
        conflict
          .columns(["site", "kind", "lane", "type", "target"])
          .doUpdateSet((eb) => ({ ...last, count: eb("exceptions.count", "+", count) })),
      )
      .execute();
    return known === undefined || known.ended_at !== null;
  }

  /** What an alarm warned of is over. */
  async end(
    db: Storage | StorageTransaction,
    { site, kind, lane, target = "" }: Pick<Alarm, "site" | "kind" | "lane" | "target">,
  ): Promise<void> {
    await db
      .updateTable("exceptions")
      .set({ ended_at: this.#deps.clock.now() })
      .where("site", "=", site)
      .where("kind", "=", kind)
      .where("lane", "=", lane ?? "")
      .where("target", "=", target)
      .where("ended_at", "is", null)
      .execute();
  }

  log(alarms: readonly Alarm[]): void {
    for (const { kind, site, ...fields } of alarms) {
      const { severity, sentence } = alarmKinds[kind];
      this.#deps.log[severity]({ event: `alarm.${kind}.raised`, site: site === "" ? undefined : site, ...fields }, sentence);
    }
  }
}

interface AlarmRow {
  readonly ended_at: number | null;
}

function rowOf(db: Storage | StorageTransaction, alarm: Alarm): Promise<AlarmRow | undefined> {
  const { site, kind, lane = "", type = "", target = "" } = alarm;
  return db
    .selectFrom("exceptions")
    .select("ended_at")
    .where("site", "=", site)
    .where("kind", "=", kind)
    .where("lane", "=", lane)
    .where("type", "=", type)
    .where("target", "=", target)
    .executeTakeFirst();
}

async function isCrowded(db: Storage | StorageTransaction, { site, kind, lane }: Alarm): Promise<boolean> {
  const rows = await db
    .selectFrom("exceptions")
    .select("target")
    .where("site", "=", site)
    .where("kind", "=", kind)
    .where("lane", "=", lane ?? "")
    .limit(maxRows)
    .execute();
  return rows.length === maxRows;
}

/** What a hole in a lane is to people. */
export function holeAlarmOf(
  site: string,
  lane: Lane,
  hole: { readonly first: number; readonly last: number; readonly reason: HoleReason },
): Alarm {
  const { first, last, reason } = hole;
  return {
    site,
    kind: holeAlarm[reason],
    lane,
    target: reason,
    count: last - first + 1,
    range: { first, last },
    reason: `${first.toLocaleString("en-US")} to ${last.toLocaleString("en-US")} of lane ${lane} ${holeWords[reason]}`,
  };
}

/** What became of a hole's messages, after a range: "3,001–3,400 discarded by budget". */
export const holeWords: Readonly<Record<HoleReason, string>> = {
  size: "discarded by budget (bytes)",
  count: "discarded by budget (messages)",
  age: "discarded by budget (age)",
  disk: "discarded for lack of disk",
  damaged: "damaged on the gateway's disk",
  locked: "locked: their key is missing",
  "lost-by-receiver": "lost by central after it had acknowledged them",
};
