import { type InForce, otherHomeOf } from "../document/store.ts";
import { releaseMoved, sendersOf } from "../release/carried.ts";
import { untriedIn } from "../release/proven.ts";
import type { Database } from "../storage/storage.ts";
import type { Carried, ChangeRecord } from "./record.ts";

/** Takes templates and policies only as they ran in the environment before it. */
const guarded = "prod";
const provenIn = "test";

/** A change, and what counts besides it. */
interface Standing {
  readonly record: ChangeRecord;
  readonly inForce: readonly InForce[];
  readonly facts: { readonly reviewRequired: boolean };
}

/** What stands against a change whoever asks, and whatever its documents say: sentences, the first of which is told. */
export async function standingAgainst(db: Database, { record, inForce, facts }: Standing): Promise<string[]> {
  if (record.release) {
    const moved = await releaseMoved(db, record.release);
    // what rolls out already has passed this; what was approved before it was asked for goes its way
    const isOpen = record.row.state !== "rolling-out";
    const untried = isOpen && facts.reviewRequired ? await untriedIn(db, record.row.environment, record.release) : undefined;
    return [moved, untried].filter((said) => said !== undefined);
  }
  if (record.documents.length === 0) return ["it carries no document"];
  const conflicts = conflictsOf(record.documents, inForce);
  if (conflicts.length > 0)
    return [`what is in force has moved: ${conflicts.join("; ")}. Edit the draft: it takes what is in force now as its base`];
  const idle = idleRemovals(record.documents, inForce);
  if (idle.length > 0) return [`it removes what is not in force in "${record.row.environment}": ${idle.join(", ")}`];
  const foreign = await foreignSites(db, record);
  if (foreign.length > 0) return [foreign.join("; ")];
  const unrun = await unproven(db, record);
  if (unrun.length > 0)
    return [
      `prod takes only what a change that is done has run in test, and none has run ${unrun.join(", ")}: carry it on from test, or make the change expedited`,
    ];
  return [];
}

/** Documents that others have changed in the environment since the draft was written. */
function conflictsOf(documents: readonly Carried[], inForce: readonly InForce[]): string[] {
  const now = new Map(inForce.map(({ kind, name, revision }) => [`${kind}/${name}`, revision]));
  return documents.flatMap(({ kind, name, base }) => {
    const revision = now.get(`${kind}/${name}`) ?? 0;
    return revision === base
      ? []
      : [`${kind}/${name} is at ${written(revision)} now, and was at ${written(base)} when this was written`];
  });
}

/** Removals of what is not there. */
function idleRemovals(documents: readonly Carried[], inForce: readonly InForce[]): string[] {
  const now = new Set(inForce.map(({ kind, name }) => `${kind}/${name}`));
  return documents.filter(({ kind, name, revision }) => revision === 0 && !now.has(`${kind}/${name}`)).map(nameOf);
}

/**
 * Templates and policies that prod would get as nothing has run them in test: a change that is done there has to have carried the same
 * content. What belongs to one environment (sites, secrets) is exempt, and so is an expedited change.
 */
async function unproven(db: Database, { row, documents }: ChangeRecord): Promise<string[]> {
  if (row.environment !== guarded || row.expedited === 1) return [];
  const found: string[] = [];
  for (const document of documents) {
    const { kind, name, revision } = document;
    if (kind !== "Template" && kind !== "Policy") continue;
    if (!(revision === 0 ? await isGone(db, document) : await hasRun(db, document)))
      found.push(revision === 0 ? `the removal of ${kind}/${name}` : `${kind}/${name}@${revision}`);
  }
  return found;
}

async function hasRun(db: Database, { kind, name, revision }: Carried): Promise<boolean> {
  const row = await db
    .selectFrom("document_revisions as carried")
    .innerJoin("document_revisions as same", (join) =>
      join
        .onRef("same.kind", "=", "carried.kind")
        .onRef("same.name", "=", "carried.name")
        .onRef("same.digest", "=", "carried.digest"),
    )
    .innerJoin("change_documents as c", (join) =>
      join.onRef("c.kind", "=", "same.kind").onRef("c.name", "=", "same.name").onRef("c.revision", "=", "same.revision"),
    )
    .innerJoin("changes", "changes.number", "c.change")
    .select("changes.number")
    .where("carried.kind", "=", kind)
    .where("carried.name", "=", name)
    .where("carried.revision", "=", revision)
    .where("changes.environment", "=", provenIn)
    .where("changes.state", "=", "done")
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

async function isGone(db: Database, { kind, name }: Carried): Promise<boolean> {
  const row = await db
    .selectFrom("environment_documents")
    .select("revision")
    .where("environment", "=", provenIn)
    .where("kind", "=", kind)
    .where("name", "=", name)
    .executeTakeFirst();
  return row === undefined;
}

/**
 * Sites that the change speaks of and that are not its environment's: a site's environment is given once, and by no document later. What the
 * environment has of a site that is not its own may be taken away.
 */
async function foreignSites(db: Database, { row, documents }: ChangeRecord): Promise<string[]> {
  const { environment } = row;
  const found: string[] = [];
  for (const { kind, name, revision } of documents) {
    if (kind !== "Site" || revision === 0) continue;
    const say = (what: string): void => void found.push(`Site "${name}" ${what}`);
    const site = await db.selectFrom("sites").selectAll().where("name", "=", name).executeTakeFirst();
    if (site && !isTakenBy(environment, site)) {
      const owner = site.environment === "" ? "no environment yet and is treated like prod" : `"${site.environment}"`;
      say(`belongs to ${owner}`);
    } else if (site?.environment !== environment) {
      const elsewhere = await otherHomeOf(db, name, environment);
      if (elsewhere !== undefined) say(`is in force in "${elsewhere}"`);
    }
    const stored = await db
      .selectFrom("document_revisions")
      .select("labels")
      .where("kind", "=", "Site")
      .where("name", "=", name)
      .where("revision", "=", revision)
      .executeTakeFirstOrThrow();
    const label = (JSON.parse(stored.labels) as { environment?: string }).environment;
    if (label === undefined) say(`has no label environment: ${environment}`);
    else if (label !== environment) say(`has the label environment: ${label}, and this change is for ${environment}`);
  }
  return found;
}

/** A site that runs something and was never given an environment is changed as prod is. */
export function isTakenBy(
  environment: string,
  site: { readonly environment: string; readonly desired_revision: number },
): boolean {
  if (site.environment !== "") return site.environment === environment;
  return site.desired_revision === 0 || environment === guarded;
}

/**
 * Who wrote what the change carries, or sent its packages, and nobody else has approved so far, in whatever change it came: so that nobody approves what he wrote
 * and another one merely carried on.
 */
export async function unreadFrom(db: Database, { row, documents, release }: ChangeRecord): Promise<string[]> {
  const found = new Set(release ? await sendersOf(db, release) : []);
  for (const { kind, name, revision } of documents) {
    if (revision === 0) continue;
    const { created_by: writer } = await db
      .selectFrom("document_revisions")
      .select("created_by")
      .where("kind", "=", kind)
      .where("name", "=", name)
      .where("revision", "=", revision)
      .executeTakeFirstOrThrow();
    const read = await db
      .selectFrom("change_documents as c")
      .innerJoin("changes", "changes.number", "c.change")
      .innerJoin("change_events as e", (join) =>
        join.onRef("e.change", "=", "changes.number").onRef("e.digest", "=", "changes.digest"),
      )
      .select("changes.number")
      .where("c.kind", "=", kind)
      .where("c.name", "=", name)
      .where("c.revision", "=", revision)
      .where("c.change", "!=", row.number)
      .where("changes.state", "=", "done")
      .where("e.kind", "=", "approved")
      .where("e.actor", "!=", writer)
      .limit(1)
      .executeTakeFirst();
    if (!read) found.add(writer);
  }
  return [...found];
}

function nameOf({ kind, name }: Carried): string {
  return `${kind}/${name}`;
}

function written(revision: number): string {
  return revision === 0 ? "nothing" : `revision ${revision}`;
}
