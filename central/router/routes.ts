import { hash } from "node:crypto";
import {
  type Bundle,
  bundle as bundleSchema,
  type Clock,
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

/** What was made of a site's texts, and what tells them from others. */
interface Parsed {
  readonly digest: string;
  readonly routes: Omit<SiteRoutes, "revoked">;
}

/** How often a configuration that could not be read is looked at again. */
const lookEveryMs = 10_000;

export type Routing =
  | { readonly kind: "routed"; readonly sites: readonly string[] }
  /** Nobody has to consume it, or it stays in its plant. */
  | { readonly kind: "kept" }
  /** It may be for a site whose configuration cannot be read: that is known once it can. */
  | { readonly kind: "held" }
  | { readonly kind: "unrouted"; readonly target: string; readonly reason: string };

/** Who may send what, and who gets it: derived from the sites' revisions, held in memory, loaded anew after each change. */
export class Routes {
  #sites = new Map<string, SiteRoutes>();
  /** By type: sites that take messages of it from somebody. */
  #takers = new Map<string, string[]>();
  #parsed = new Map<string, Parsed>();
  #unreadable = new Map<string, string>();
  #version = -1;
  #loads = 0;
  #loadedAt = Number.NEGATIVE_INFINITY;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How often a configuration was loaded. */
  get loads(): number {
    return this.#loads;
  }

  /**
   * Sites whose stored configuration cannot be read, and why. What is meant for them is held; what they sent waits, as nobody knows what they
   * may send. All others go on.
   */
  get unreadable(): ReadonlyMap<string, string> {
    return this.#unreadable;
  }

  /**
   * Loads what changed since it was loaded last, by whichever replica. Asked inside a transaction that projects, so that a message is
   * judged by what was desired when it was recorded. What could not be read is looked at again now and then: the disk may be repaired.
   */
  async refresh(db: Storage | StorageTransaction): Promise<void> {
    const { value } = await db
      .selectFrom("counters")
      .select("value")
      .where("name", "=", "configuration")
      .executeTakeFirstOrThrow();
    const now = this.#clock.monotonic();
    const mayBeRepaired = this.#unreadable.size > 0 && now - this.#loadedAt >= lookEveryMs;
    if (value === this.#version && !mayBeRepaired) return;
    this.#loadedAt = now;
    await this.#load(db);
    this.#loads += 1;
    this.#version = value;
  }

  /**
   * A site consumes by its desired revision. It may send by its desired and by its reported one: what a plant recorded while a change
   * was on its way is not held against it. Of two hundred sites' texts only those are parsed that are others than before.
   */
  async #load(db: Storage | StorageTransaction): Promise<void> {
    const sites = await db
      .selectFrom("sites")
      .select(["name", "labels", "revoked_at", "desired_revision", "reported_revision"])
      .execute();
    const loaded = new Map<string, SiteRoutes>();
    const unreadable = new Map<string, string>();
    const parsed = new Map<string, Parsed>();
    for (const site of sites) {
      const { desired_revision: desired, reported_revision: reported } = site;
      const desiredText = await bundleText(db, site.name, desired);
      const reportedText = reported === desired ? desiredText : await bundleText(db, site.name, reported);
      const digest = hash("sha256", JSON.stringify([site.labels, desiredText, reportedText]));
      const revoked = site.revoked_at !== null;
      try {
        const before = this.#parsed.get(site.name);
        const routes = before?.digest === digest ? before.routes : parseRoutes(site.labels, desiredText, reportedText);
        parsed.set(site.name, { digest, routes });
        loaded.set(site.name, { revoked, ...routes });
      } catch (error) {
        loaded.set(site.name, { revoked, labels: {}, send: new Set(), receive: new Set(), consumes: [] });
        unreadable.set(site.name, describeError(error).slice(0, 500));
      }
    }
    this.#sites = loaded;
    this.#takers = takersOf(loaded);
    this.#parsed = parsed;
    this.#unreadable = unreadable;
  }

  /** Whether messages of this type may come from this site (rule 15). */
  maySend(site: string, type: string): boolean {
    return gatewayTypes.has(type) || (this.#sites.get(site)?.send.has(type) ?? false);
  }

  /** Where a message goes: the sites that consume its type and may receive it, never back to its sender, nor now to those that are held. */
  route(event: CloudEvent, held: ReadonlySet<string> = new Set()): Routing {
    if (isKept(event)) return { kind: "kept" };
    const takers = this.#takers.get(event.type) ?? [];
    const sites = takers.filter((name) => !held.has(name) && this.takes(name, event));
    if (sites.length > 0) return { kind: "routed", sites };
    const { targetsite } = event;
    if (targetsite === undefined ? held.size > 0 : held.has(targetsite)) return { kind: "held" };
    const target = targetsite ?? "";
    return { kind: "unrouted", target, reason: target === "" ? "no site consumes this type" : this.#whyNot(target, event.type) };
  }

  /** Whether this site is one of those that a message goes to. */
  takes(site: string, event: CloudEvent): boolean {
    const routes = this.#sites.get(site);
    return routes !== undefined && !isKept(event) && this.#consumes(site, routes, event);
  }

  /** Whether it takes messages of any of these types. */
  mayTake(site: string, types: readonly string[]): boolean {
    const receive = this.#sites.get(site)?.receive;
    return types.some((type) => receive?.has(type));
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

/** It stays in its plant, or nobody has to consume it. */
function isKept(event: CloudEvent): boolean {
  const local = event.targetsite === event.site;
  return local || gatewayTypes.has(event.type) || messageTypeOf(event.type).lane === "telemetry";
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
        reason: `the stored configuration of ${site} cannot be read: what is meant for it and what it sent waits, until it can, or another one is pushed (${why})`,
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
  const desired = desiredText === undefined ? undefined : parseBundle(desiredText);
  const reported = reportedText === undefined || reportedText === desiredText ? desired : parseBundle(reportedText);
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

function takersOf(sites: ReadonlyMap<string, SiteRoutes>): Map<string, string[]> {
  const takers = new Map<string, string[]>();
  for (const [name, { receive, consumes }] of sites) {
    for (const type of new Set(consumes.flatMap(({ types }) => [...types]))) {
      if (!receive.has(type)) continue;
      const names = takers.get(type) ?? [];
      names.push(name);
      takers.set(type, names);
    }
  }
  return takers;
}

function consumed(bundle: Bundle): SiteRoutes["consumes"] {
  return Object.values(bundle.flows).flatMap(({ from, mode }) => {
    // a flow in shadow takes it to look at it; one that is off takes nothing
    if (mode === "off" || Array.isArray(from) || !("central" in from)) return [];
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
