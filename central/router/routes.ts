import {
  type Bundle,
  bundle as bundleSchema,
  type CloudEvent,
  describeError,
  findMessageType,
  gatewayTypes,
  messageTypeOf,
} from "../../protocol/index.ts";
import type { Alarms } from "../alert/alarms.ts";
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
  #unreadable = new Map<string, string>();
  #version = -1;

  /** Which configuration is loaded. */
  get version(): number {
    return this.#version;
  }

  /**
   * Sites whose stored configuration cannot be read, and why. Nothing is sent to them; what they sent waits, as nobody knows what they may
   * send. All others go on.
   */
  get unreadable(): ReadonlyMap<string, string> {
    return this.#unreadable;
  }

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
    const unreadable = new Map<string, string>();
    for (const site of sites) {
      const texts = [
        await bundleText(db, site.name, site.desired_revision),
        await bundleText(db, site.name, site.reported_revision),
      ] as const;
      const revoked = site.revoked_at !== null;
      try {
        loaded.set(site.name, { revoked, ...parseRoutes(site.labels, ...texts) });
      } catch (error) {
        loaded.set(site.name, { revoked, labels: {}, send: new Set(), receive: new Set(), consumes: [] });
        unreadable.set(site.name, describeError(error).slice(0, 500));
      }
    }
    this.#sites = loaded;
    this.#unreadable = unreadable;
  }

  /** Whether messages of this type may come from this site (rule 15). */
  maySend(site: string, type: string): boolean {
    return gatewayTypes.has(type) || (this.#sites.get(site)?.send.has(type) ?? false);
  }

  /** Where a message goes: the sites that consume its type and may receive it, never back to its sender. */
  route(event: CloudEvent): Routing {
    const local = event.targetsite === event.site;
    if (local || gatewayTypes.has(event.type) || messageTypeOf(event.type).lane === "telemetry") return { kind: "kept" };
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
    if (this.#unreadable.has(target)) return `the configuration of site "${target}" cannot be read`;
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

/** Raises the alarm of each site whose configuration cannot be read, where it does not stand, and ends it where it is read again. */
export async function tellUnreadable(storage: Storage, unreadable: ReadonlyMap<string, string>, alarms: Alarms): Promise<void> {
  const kind = "configuration-damaged" as const;
  const raised = await storage.transaction().execute(async (tx) => {
    const rows = await tx
      .selectFrom("exceptions")
      .select("site")
      .where("kind", "=", kind)
      .where("ended_at", "is", null)
      .execute();
    const standing = new Set(rows.map(({ site }) => site));
    for (const site of standing) if (!unreadable.has(site)) await alarms.end(tx, { site, kind });
    const fresh = [...unreadable].filter(([site]) => !standing.has(site));
    return alarms.raise(
      tx,
      fresh.map(([site, why]) => ({
        site,
        kind,
        count: 1,
        reason: `the stored configuration of ${site} cannot be read: nothing is sent to it and its messages wait, until a readable one is pushed (${why})`,
      })),
    );
  });
  alarms.log(raised);
}

async function bundleText(db: Storage | StorageTransaction, site: string, revision: number): Promise<string | undefined> {
  const row = await db
    .selectFrom("revisions")
    .select("bundle")
    .where("site", "=", site)
    .where("revision", "=", revision)
    .executeTakeFirst();
  return row?.bundle;
}

/** @throws for a text that is no bundle, or labels that are none */
function parseRoutes(labels: string, desiredText?: string, reportedText?: string): Omit<SiteRoutes, "revoked"> {
  const [desired, reported] = [desiredText, reportedText].map((text) => (text === undefined ? undefined : parseBundle(text)));
  return {
    labels: JSON.parse(labels) as Record<string, string>,
    send: new Set([...(desired?.grants.send ?? []), ...(reported?.grants.send ?? [])].map(fullName)),
    receive: new Set((desired?.grants.receive ?? []).map(fullName)),
    consumes: desired ? consumed(desired) : [],
  };
}

function parseBundle(text: string): Bundle {
  const parsed = bundleSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  throw new Error(`${first?.path.join(".")}: ${first?.message}`);
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
