import { randomUUID } from "node:crypto";
import type { Clock, Epoch, Hello, HelloAnswer } from "../../protocol/index.ts";
import { chainGenesis } from "../ledger/batch.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";

export type SessionState = "current" | "fenced" | "session-unknown";
export type HelloOutcome =
  | { readonly kind: "begun"; readonly session: string; readonly watermarks: HelloAnswer["watermarks"] }
  | { readonly kind: "conflict"; readonly detail: string };

/** Sessions of the sites' gateways: the newest wins, older ones are fenced (rule 5). */
export class Sessions {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock };

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** Begins a session and takes up the lanes' epochs; on return the session is durable and all older ones are fenced. */
  begin(site: string, hello: Hello): Promise<HelloOutcome> {
    const { storage, clock } = this.#deps;
    return storage.transaction().execute(async (tx) => {
      const watermarks: HelloAnswer["watermarks"] = [];
      for (const epoch of hello.epochs) {
        const watermark = await takeUp(tx, site, epoch, clock.now());
        if (watermark === undefined)
          return { kind: "conflict", detail: `epoch ${epoch.epoch} of lane ${epoch.lane} is known with another first sequence` };
        watermarks.push({ lane: epoch.lane, epoch: epoch.epoch, watermark });
      }
      const session = randomUUID();
      await tx
        .insertInto("sessions")
        .values({ id: session, site, boot_id: hello.bootId, gateway_version: hello.gatewayVersion, started_at: clock.now() })
        .execute();
      await tx.updateTable("sites").set({ session }).where("name", "=", site).execute();
      return { kind: "begun", session, watermarks };
    });
  }

  /** Judges a session; an older one of another boot leaves a mark on the site: two gateways may be running as one. */
  async judge(site: string, session: string): Promise<SessionState> {
    const { storage, clock } = this.#deps;
    const state = await sessionState(storage, site, session);
    if (state === "fenced") await storage.updateTable("sites").set({ fenced_at: clock.now() }).where("name", "=", site).execute();
    return state;
  }
}

/** Whether `session` is the site's newest one, or an older one of another process; also asked inside the transaction that records a batch. */
export async function sessionState(db: Storage | StorageTransaction, site: string, session: string): Promise<SessionState> {
  const row = await db.selectFrom("sites").select("session").where("name", "=", site).executeTakeFirst();
  if (row?.session === session) return "current";
  const boots = await db
    .selectFrom("sessions")
    .select(["id", "boot_id"])
    .where("id", "in", [session, row?.session ?? ""])
    .where("site", "=", site)
    .execute();
  const older = boots.find(({ id }) => id === session);
  // the same process said hello again meanwhile: this request of its own came late
  const sameProcess = older?.boot_id === boots.find(({ id }) => id === row?.session)?.boot_id;
  return older && !sameProcess ? "fenced" : "session-unknown";
}

async function takeUp(tx: StorageTransaction, site: string, epoch: Epoch, now: number): Promise<number | undefined> {
  const known = await tx
    .selectFrom("epochs")
    .select(["first_sequence", "watermark"])
    .where("site", "=", site)
    .where("lane", "=", epoch.lane)
    .where("epoch", "=", epoch.epoch)
    .executeTakeFirst();
  if (known) return known.first_sequence === epoch.firstSequence ? known.watermark : undefined;
  await tx
    .insertInto("epochs")
    .values({
      site,
      lane: epoch.lane,
      epoch: epoch.epoch,
      first_sequence: epoch.firstSequence,
      predecessor_epoch: epoch.predecessor?.epoch ?? null,
      predecessor_last: epoch.predecessor?.lastSequence ?? null,
      watermark: epoch.firstSequence - 1,
      chain: chainGenesis(site, epoch.lane, epoch.epoch).toString("hex"),
      started_at: now,
      moved_at: now,
    })
    .execute();
  return epoch.firstSequence - 1;
}
