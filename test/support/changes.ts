import { Audit } from "../../central/audit/audit.ts";
import type { Actor, Role } from "../../central/auth/actor.ts";
import { Changes } from "../../central/change/changes.ts";
import { ChangeDiffs } from "../../central/change/diff.ts";
import { Judge } from "../../central/change/judged.ts";
import type { RollingChange } from "../../central/change/rolling.ts";
import { ChangeViews } from "../../central/change/view.ts";
import { Renderer } from "../../central/document/renderer.ts";
import { DocumentStore } from "../../central/document/store.ts";
import { changeBody } from "../../central/http/api/changes.ts";
import { SiteRegistry } from "../../central/site/registry.ts";
import { openStorage, type StorageTarget } from "../../central/storage/storage.ts";
import type { SourceFile } from "../../protocol/index.ts";
import { type SettableClock, settableClock } from "./clock.ts";
import { generateGatewayKey } from "./gateway-client.ts";
import { openRevisions } from "./ledger.ts";

/** Changes with what they stand on, without HTTP; a test says when a rollout has ended. */
export async function openChanges(target: StorageTarget, options: { limitMs?: number; clock?: SettableClock } = {}) {
  const clock = options.clock ?? settableClock();
  const storage = await openStorage(target);
  const documents = new DocumentStore(clock);
  const renderer = new Renderer({ clock, ...(options.limitMs === undefined ? {} : { limitMs: options.limitMs }) });
  const judge = new Judge({ storage, documents, renderer });
  const queued: RollingChange[] = [];
  const rollouts = {
    enqueue: async (_tx: unknown, change: RollingChange) => queued.push(change),
    wake: () => {},
  };
  const audit = new Audit(clock);
  const changes = new Changes({ storage, clock, audit, documents, renderer, judge, rollouts });
  const revisions = await openRevisions({ storage, clock });
  const parts = { storage, clock, documents, renderer, changes, judge };
  const test = {
    ...parts,
    ...{ revisions, audit, queued },
    views: new ChangeViews(parts),
    diffs: new ChangeDiffs({ ...parts, revisions }),
    /** A draft of somebody's. */
    draft(actor: Actor, files: readonly SourceFile[], more: Partial<Parameters<Changes["create"]>[1]> = {}): Promise<number> {
      return changes.create(actor, { ...changeBody.parse({ title: "a change", environment: "prod" }), files, ...more });
    },
    /** Reads, and approves what was read. */
    async approve(actor: Actor, number: number): Promise<void> {
      const now = await changes.now(number);
      await changes.approve(actor, number, { comment: "", digest: now?.record.row.digest });
    },
    end(number: number, outcome: "done" | "aborted" | "rolled-back"): Promise<void> {
      return storage.transaction().execute((tx) => changes.ended(tx, number, outcome, null));
    },
    /** From draft to done, its sites desiring what it makes of them. */
    async carryOut(author: Actor, approver: Actor, number: number): Promise<void> {
      await changes.submit(author, number, { comment: "" });
      if ((await state(number)) === "review") await test.approve(approver, number);
      const plan = await changes.plan(number);
      if (plan.kind !== "planned") throw new Error(plan.kind === "refused" ? plan.reason : "it carries a version");
      for (const planned of plan.sites) {
        const { revision } = await revisions.store(planned.site, planned, number);
        await storage.transaction().execute((tx) => revisions.desire(tx, planned.site, revision));
      }
      await test.end(number, "done");
    },
    async addSite(name: string, environment = ""): Promise<void> {
      await new SiteRegistry({ storage, clock }).add(name, (await generateGatewayKey()).publicKey);
      await storage.updateTable("sites").set({ environment }).where("name", "=", name).execute();
    },
    state,
    async [Symbol.asyncDispose]() {
      await renderer.stop();
      await storage.destroy();
    },
  };
  async function state(number: number): Promise<string | undefined> {
    return (await changes.now(number))?.record.row.state;
  }
  return test;
}
export type TestChanges = Awaited<ReturnType<typeof openChanges>>;

export function person(name: string, roles: readonly Role[], environments: readonly string[] = ["*"]): Actor {
  return { kind: "user", name, roles, environments };
}

/** Central's admin token. */
export const key: Actor = {
  kind: "key",
  name: "admin-token",
  roles: ["viewer", "operator", "engineer", "admin"],
  environments: ["*"],
};
