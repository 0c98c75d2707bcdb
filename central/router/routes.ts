import {
  type Bundle,
  bundle as bundleSchema,
  type CloudEvent,
  findMessageType,
  gatewayTypes,
  messageTypeOf,
} from "../../protocol/index.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";

/** What a site's configuration says about messages between sites. */
interface SiteRoutes {
  readonly labels: Readonly<Record<string, string>>;
  readonly revoked: boolean;
  readonly send: ReadonlySet<string>;
  readonly receive: ReadonlySet<string>;
  readonly consumes: readonly { readonly types: ReadonlySet<string>; readonly labels: Readonly<Record<string, string>> }[];
}

export type Routing =
  | { readonly kind: "routed"; readonly sites: readonly string[] }
  /** Nobody has to consume it, or it stays in its plant. */
  | { readonly kind: "kept" }
  | { readonly kind: "unrouted"; readonly target: string; readonly reason: string };

/** Who may send what, and who gets it: derived from the sites' revisions, held in memory, loaded anew after each change. */
export class Routes {
  #sites = new Map<string, SiteRoutes>();
  #version = -1;

  /**
   * Loads what changed since it was loaded last, by whichever replica. Asked inside a transaction that projects, so that a message is
   * judged by what was desired when it was recorded.
   */
  async refresh(db: Storage | StorageTransaction): Promise<void> {
    const { value } = await db
      .selectFrom("counters")
      .select("value")
      .where("name", "=", "configuration")
      .executeTakeFirstOrThrow();
    if (value === this.#version) return;
    await this.#load(db);
    this.#version = value;
  }

  /**
   * A site consumes by its desired revision. It may send by its desired and by its reported one: what a plant recorded while a change
   * was on its way is not held against it.
   */
  async #load(db: Storage | StorageTransaction): Promise<void> {
    const sites = await db
      .selectFrom("sites")
      .select(["name", "labels", "revoked_at", "desired_revision", "reported_revision"])
      .execute();
    const loaded = new Map<string, SiteRoutes>();
    for (const site of sites) {
      const desired = await bundleOf(db, site.name, site.desired_revision);
      const reported = await bundleOf(db, site.name, site.reported_revision);
      loaded.set(site.name, {
        labels: JSON.parse(site.labels) as Record<string, string>,
        revoked: site.revoked_at !== null,
        send: new Set([...(desired?.grants.send ?? []), ...(reported?.grants.send ?? [])].map(fullName)),
        receive: new Set((desired?.grants.receive ?? []).map(fullName)),
        consumes: desired ? consumed(desired) : [],
      });
    }
    this.#sites = loaded;
  }

  /** Whether messages of this type may come from this site (rule 15). */
  maySend(site: string, type: string): boolean {
    return gatewayTypes.has(type) || (this.#sites.get(site)?.send.has(type) ?? false);
  }

  /** Where a message goes: the sites that consume its type and may receive it, never back to its sender. */
  route(event: CloudEvent): Routing {
    const local = event.targetsite === event.site;
    if (local || gatewayTypes.has(event.type) || messageTypeOf(event.type).lane !== "transaction") return { kind: "kept" };
    const sites = [...this.#sites].filter(([name, routes]) => this.#consumes(name, routes, event)).map(([name]) => name);
    if (sites.length > 0) return { kind: "routed", sites };
    const target = event.targetsite ?? "";
    return { kind: "unrouted", target, reason: target === "" ? "no site consumes this type" : this.#whyNot(target, event.type) };
  }

  #consumes(name: string, site: SiteRoutes, event: CloudEvent): boolean {
    if (name === event.site || site.revoked || !site.receive.has(event.type)) return false;
    if (event.targetsite !== undefined && event.targetsite !== name) return false;
    const sender = this.#sites.get(event.site)?.labels ?? {};
    return site.consumes.some(
      (flow) => flow.types.has(event.type) && Object.entries(flow.labels).every(([label, value]) => sender[label] === value),
    );
  }

  #whyNot(target: string, type: string): string {
    const site = this.#sites.get(target);
    if (!site) return `there is no site "${target}"`;
    if (site.revoked) return `site "${target}" was revoked`;
    if (!site.receive.has(type)) return `site "${target}" may not receive this type`;
    return `site "${target}" does not consume this type from the sender`;
  }
}

/** Notes, in the transaction of a change of sites or revisions, that routes have to be loaded again. */
export async function configurationChanged(tx: Storage | StorageTransaction): Promise<void> {
  await tx
    .updateTable("counters")
    .set((eb) => ({ value: eb("value", "+", 1) }))
    .where("name", "=", "configuration")
    .execute();
}

async function bundleOf(db: Storage | StorageTransaction, site: string, revision: number): Promise<Bundle | undefined> {
  const row = await db
    .selectFrom("revisions")
    .select("bundle")
    .where("site", "=", site)
    .where("revision", "=", revision)
    .executeTakeFirst();
  return row ? bundleSchema.parse(JSON.parse(row.bundle)) : undefined;
}

function consumed(bundle: Bundle): SiteRoutes["consumes"] {
  return Object.values(bundle.flows).flatMap(({ from }) => {
    if (Array.isArray(from) || !("central" in from)) return [];
    const types = new Set([from.central].flat().map(fullName));
    return [{ types, labels: parseSelector(from.sites ?? "") }];
  });
}

/** `environment=prod,region=eu`: every one has to hold. */
export function parseSelector(selector: string): Record<string, string> {
  const parts = selector.split(",").filter((part) => part.includes("="));
  return Object.fromEntries(
    parts.map((part) => [part.slice(0, part.indexOf("=")).trim(), part.slice(part.indexOf("=") + 1).trim()]),
  );
}

function fullName(type: string): string {
  return findMessageType(type)?.type ?? type;
}
