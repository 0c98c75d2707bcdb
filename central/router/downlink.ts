import type { Clock, DownlinkAnswer, DownlinkRequest } from "../../protocol/index.ts";
import type { Alarms } from "../alert/alarms.ts";
import type { Revisions } from "../document/revisions.ts";
import type { Damage } from "../ledger/damage.ts";
import type { Frames } from "../ledger/frames.ts";
import { Lines, parseLine, placeOf, sliceColumns } from "../ledger/lines.ts";
import { handedBefore } from "../recovery/handed-on.ts";
import type { DryRuns } from "../rehearsal/dry-runs.ts";
import { offerOf } from "../release/carried.ts";
import type { SecretSets } from "../secret/sets.ts";
import { isLive } from "../site/keys.ts";
import type { Losses } from "../site/losses.ts";
import type { SiteRegistry, SiteRow } from "../site/registry.ts";
import { sessionState } from "../site/sessions.ts";
import { renameDownlink } from "../storage/incarnation.ts";
import { inSnapshot, type Storage, type StorageTransaction } from "../storage/storage.ts";
import type { Hints } from "./hints.ts";
import { park, parkedKeys } from "./parked.ts";

export type DownlinkOutcome =
  | { readonly kind: "answer"; readonly answer: Omit<DownlinkAnswer, "incarnation"> }
  | { readonly kind: "fenced" | "session-unknown" | "site-revoked" };

const answerLimits = { messages: 200, bytes: 1024 * 1024 } as const;
/** The longest that a poll goes without looking: bounds how late a revocation or a lost hint is noticed. */
const lookEveryMs = 1000;

export interface DownlinkDeps {
  readonly storage: Storage;
  readonly frames: Frames;
  readonly damage: Damage;
  readonly registry: SiteRegistry;
  readonly revisions: Revisions;
  readonly secretSets: Pick<SecretSets, "digest">;
  readonly hints: Hints;
  readonly alarms: Alarms;
  readonly losses?: Pick<Losses, "downlinkBegins">;
  /** What is asked of gateways besides. */
  readonly dryRuns?: Pick<DryRuns, "asks" | "told">;
  readonly clock: Clock;
}

/**
 * Messages on their way to the sites. The numbers of a site rise, and not always by one: what was parked comes again under new ones. What was
 * acknowledged stays, marked: an order's timeline tells of it.
 */
export class Downlink {
  readonly #deps: DownlinkDeps;

  constructor(deps: DownlinkDeps) {
    this.#deps = deps;
  }

  /**
   * Notes the acknowledgement, durably, then answers as soon as there are messages or another desired revision, at the latest after
   * `waitMs`. A gateway that acknowledges less than it once did (a restored data folder) gets the rest again, marked. A poll that waits
   * holds nothing of the storage.
   * @param key fingerprint of the key that signs for the gateway: a poll ends with it (rule 15)
   */
  async poll(site: string, request: DownlinkRequest, signal: AbortSignal, key?: string): Promise<DownlinkOutcome> {
    const { clock, hints } = this.#deps;
    const deadline = clock.monotonic() + request.waitMs;
    let acknowledged = false;
    for (;;) {
      const found = await this.#deps.registry.findWithKeys(site, key);
      const row = found?.site;
      if (!row || row.revoked_at !== null) return { kind: "site-revoked" };
      const [own] = found.keys;
      if (key !== undefined && own?.state === "revoked") return { kind: "site-revoked" };
      // another one has followed meanwhile: the next poll is signed with that one
      const isOver = key !== undefined && (!own || !isLive(own, clock.now()));
      const session = await sessionState(this.#deps.storage, site, request.session);
      if (session !== "current") return { kind: session };
      const known = request.ack.epoch === row.downlink_epoch;
      if (known && request.ack.sequence > row.downlink_last) {
        await this.#setBack(site, request.ack.sequence, row.downlink_last, row.downlink_epoch);
        continue;
      }
      if (known && !acknowledged) await this.#acknowledge(site, request.ack.sequence, row.downlink_acked);
      // a gateway that never took anything, where one did before
      const isAnew = request.ack.epoch === undefined;
      if (isAnew && row.downlink_acked > 0 && !acknowledged) await this.#deps.losses?.downlinkBegins(site, row.downlink_acked);
      acknowledged = true;
      const after = known ? request.ack.sequence : row.downlink_acked;
      const messages = after < row.downlink_last ? await this.#messages(site, { after, acked: row.downlink_acked, isAnew }) : [];
      const wanted = await this.#deps.revisions.desired(site);
      // of that very revision: one that came since the row was read would be told without the secrets that it names, and refused for that
      const secrets = await this.#deps.secretSets.digest({ ...row, desired_revision: wanted.revision });
      const desired = { ...wanted, ...(secrets === undefined ? {} : { secrets }) };
      const asked = await this.#deps.dryRuns?.asks(site, request.session);
      const isOtherRelease = await this.#isOtherRelease(row, request.knownRelease);
      const left = deadline - clock.monotonic();
      if (
        messages.length > 0 ||
        desired.revision !== request.knownRevision ||
        isNews(request.knownSecrets, secrets) ||
        isOtherRelease ||
        asked?.news ||
        left <= 0 ||
        isOver ||
        signal.aborted
      ) {
        const ids = asked?.ids ?? [];
        this.#deps.dryRuns?.told(request.session, ids);
        const asks = ids.length === 0 ? {} : { asks: ids.map((id) => ({ id, kind: "dry-run" as const })) };
        const release = await offerOf(this.#deps.storage, row);
        const wanted = release ? { ...desired, release } : desired;
        return { kind: "answer", answer: { epoch: row.downlink_epoch, messages, desired: wanted, ...asks } };
      }
      await hints.wait(site, Math.min(left, lookEveryMs), signal);
    }
  }

  /** Whether another version is wanted than the gateway knows of; one that cannot be upgraded from here does not say what it knows. */
  async #isOtherRelease(row: SiteRow, known: string | undefined): Promise<boolean> {
    if (known === undefined || known === (row.desired_package === "" ? "" : row.desired_attempt)) return false;
    // what is wanted and not here is told as nothing
    const offer = row.desired_package === "" ? undefined : await offerOf(this.#deps.storage, row);
    return known !== (offer?.attempt ?? "");
  }

  /** The gateway has more than was ever numbered here: this ledger lost its end, and the lost numbers must not mean anything else. */
  async #setBack(site: string, acknowledged: number, last: number, epoch: string): Promise<void> {
    const { storage, alarms } = this.#deps;
    const reason = `its gateway acknowledged message ${acknowledged} of the downlink, this ledger knows ${last}: it was set back, and a new numbering begins`;
    const raised = await storage.transaction().execute(async (tx) => {
      await renameDownlink(tx, site);
      return alarms.raise(tx, [{ site, kind: "downlink-set-back", target: epoch, count: 1, reason }]);
    });
    alarms.log(raised);
  }

  async #acknowledge(site: string, sequence: number, before: number): Promise<void> {
    if (sequence <= before) return;
    const { storage, clock } = this.#deps;
    await storage.transaction().execute(async (tx) => {
      await tx
        .updateTable("downlink")
        .set({ acked_at: clock.now() })
        .where("site", "=", site)
        .where("sequence", ">", before)
        .where("sequence", "<=", sequence)
        .where("acked_at", "is", null)
        .where("parked_at", "is", null)
        .execute();
      await tx
        .updateTable("sites")
        .set({ downlink_acked: sequence })
        .where("name", "=", site)
        .where("downlink_acked", "<", sequence)
        .execute();
    });
  }

  /** Messages behind a number; what cannot be read is parked with its key, and passed over, so that all other keys go on. */
  async #messages(
    site: string,
    { after, acked, isAnew }: { readonly after: number; readonly acked: number; readonly isAnew: boolean },
  ): Promise<DownlinkAnswer["messages"]> {
    for (;;) {
      // of one state: were they let go in between, their keys would look free, and a row that waits behind one of them would go before it
      const { rows, parked, handed } = await inSnapshot(this.#deps.storage, async (tx) => ({
        rows: await downlinkRows(tx, site, after),
        parked: await parkedKeys(tx, site),
        handed: await handedBefore(tx, site, isAnew),
      }));
      const sentBefore = (row: Row): boolean => row.sequence <= acked || row.acked_at !== null || handed(row);
      const { messages, unreadable, held } = await this.#read(rows, parked, sentBefore);
      if (!held) return messages;
      const waiting = rows.map(({ sequence, key }) => ({ sequence, key }));
      await park(this.#deps.storage, site, { unreadable, waiting, now: this.#deps.clock.now() });
      if (messages.length > 0) return messages;
    }
  }

  async #read(rows: readonly Row[], parked: ReadonlySet<number>, sentBefore: (row: Row) => boolean) {
    const { storage, frames, damage, clock } = this.#deps;
    const messages: DownlinkAnswer["messages"] = [];
    const unreadable: number[] = [];
    let held = false;
    const keys = new Set(parked);
    const lines = new Lines(storage, frames);
    let bytes = 0;
    for (const row of rows) {
      const { sequence, key } = row;
      held ||= keys.has(key);
      if (keys.has(key)) continue;
      const read = await damage.read(placeOf(row), async () => {
        const line = await lines.at(row, row.at);
        return { event: parseLine(line) as DownlinkAnswer["messages"][number]["event"], size: Buffer.byteLength(line) };
      });
      if (!read) {
        unreadable.push(sequence);
        keys.add(key);
        held = true;
        continue;
      }
      const { event, size } = read.value;
      bytes += size;
      // a message that is larger than the limit by itself still has to pass
      if (messages.length > 0 && bytes > answerLimits.bytes) break;
      const waitedMs = row.age_ms + Math.max(0, clock.now() - row.received_at);
      messages.push({ sequence, event, waitedMs, ...(sentBefore(row) ? { again: true } : {}) });
    }
    return { messages, unreadable, held };
  }
}

type Row = Awaited<ReturnType<typeof downlinkRows>>[number];

function downlinkRows(tx: StorageTransaction, site: string, after: number) {
  return tx
    .selectFrom("downlink")
    .innerJoin("slices", "slices.position", "downlink.slice")
    .select(sliceColumns)
    .select(["downlink.sequence", "downlink.position as at", "downlink.acked_at", "downlink.routed_at", "downlink.key"])
    .where("downlink.site", "=", site)
    .where("downlink.sequence", ">", after)
    .where("downlink.parked_at", "is", null)
    .orderBy("downlink.sequence")
    .limit(answerLimits.messages)
    .execute();
}

/** A gateway that does not say which secrets it holds does not take them from central. */
function isNews(known: string | undefined, desired: string | undefined): boolean {
  return known !== undefined && desired !== undefined && known !== desired;
}
