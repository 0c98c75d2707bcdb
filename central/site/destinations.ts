import {
  type Bundle,
  bundle as bundleSchema,
  type CloudEvent,
  describeDestination,
  findMessageType,
} from "../../protocol/index.ts";
import { parseSelector } from "../router/routes.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";

/** A destination as reports of deliveries name it. */
export interface Destination {
  readonly connector: string;
  readonly destination: string;
}

interface Taker {
  readonly types: ReadonlySet<string>;
  readonly from: Readonly<Record<string, string>>;
  readonly to: readonly Destination[];
}

/**
 * Where a site's gateway delivers what central hands to it: by the live flows of the revision that the site should run, and of the one that it says it runs.
 * @returns of a message its destinations; none where no flow takes it now, or the configuration cannot be read: nobody can tell then
 */
export async function destinationsOf(
  db: Storage | StorageTransaction,
  site: string,
): Promise<(event: CloudEvent) => readonly Destination[]> {
  const sites = await db.selectFrom("sites").select(["name", "labels", "desired_revision", "reported_revision"]).execute();
  const own = sites.find(({ name }) => name === site);
  const rows = await db
    .selectFrom("revisions")
    .select("bundle")
    .where("site", "=", site)
    .where("revision", "in", [own?.desired_revision ?? 0, own?.reported_revision ?? 0])
    .execute();
  const takers = rows.flatMap(({ bundle }) => takersIn(bundle));
  const labels = new Map(sites.map((each) => [each.name, JSON.parse(each.labels) as Record<string, string>]));
  return (event) => {
    const sender = labels.get(event.site) ?? {};
    const taking = takers.filter(
      ({ types, from }) => types.has(event.type) && Object.entries(from).every(([label, value]) => sender[label] === value),
    );
    return [...new Map(taking.flatMap(({ to }) => to).map((each) => [nameOf(each), each])).values()];
  };
}

/** What tells destinations of one site apart. */
export function nameOf({ connector, destination }: Destination): string {
  return JSON.stringify([connector, destination]);
}

function takersIn(text: string): Taker[] {
  let bundle: Bundle | undefined;
  try {
    bundle = bundleSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // damaged: nobody can tell where its messages went
  }
  return Object.values(bundle?.flows ?? {}).flatMap(({ from, mode, to }): Taker[] => {
    if (mode !== "live" || Array.isArray(from) || !("central" in from)) return [];
    const types = new Set([from.central].flat().map((type) => findMessageType(type)?.type ?? type));
    const local = to.flatMap((each) =>
      "connector" in each
        ? [
            {
              connector: each.connector,
              destination: describeDestination(each),
            },
          ]
        : [],
    );
    return [{ types, from: parseSelector(from.sites ?? ""), to: local }];
  });
}
