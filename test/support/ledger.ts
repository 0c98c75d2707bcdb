import { generateKeyPair } from "jose";
import { Alarms } from "../../central/alert/alarms.ts";
import { Revisions } from "../../central/document/revisions.ts";
import { type BatchHead, parseEntries } from "../../central/ledger/batch.ts";
import { Completeness } from "../../central/ledger/completeness.ts";
import { Damage } from "../../central/ledger/damage.ts";
import { Frames } from "../../central/ledger/frames.ts";
import { Ingest } from "../../central/ledger/ingest.ts";
import { Pages } from "../../central/ledger/pages.ts";
import { Projector } from "../../central/ledger/projector.ts";
import { Timeline } from "../../central/ledger/timeline.ts";
import { Hints } from "../../central/router/hints.ts";
import { Routes } from "../../central/router/routes.ts";
import { SiteRegistry } from "../../central/site/registry.ts";
import { Sessions } from "../../central/site/sessions.ts";
import { SharedCommits } from "../../central/storage/shared-commits.ts";
import { openStorage, type StorageTarget } from "../../central/storage/storage.ts";
import { openLogger } from "../../central/telemetry/logger.ts";
import { type Clock, systemClock } from "../../protocol/index.ts";
import { type Batch, generateGatewayKey, type TestLane } from "./gateway-client.ts";
import { siteDocuments } from "./site-documents.ts";

/** The ledger's parts on one storage, without HTTP and without anything that runs by itself. */
export async function openLedger(target: StorageTarget, clock: Clock = systemClock) {
  const storage = await openStorage(target);
  const log = openLogger({ level: "silent" });
  const [routes, frames, hints, alarms] = [new Routes(clock), new Frames(), new Hints(), new Alarms({ clock, log })];
  const commits = new SharedCommits(storage);
  const damage = new Damage({ storage, frames, alarms, clock });
  const deps = { storage, commits, routes, frames, damage, hints, alarms, clock, log };
  const projector = new Projector(deps);
  return {
    ...deps,
    registry: new SiteRegistry(deps),
    sessions: new Sessions(deps),
    ingest: new Ingest({ ...deps, maxBacklog: 1e9, recorded: (lanes) => projector.wake(lanes) }),
    projector,
    pages: new Pages(deps),
    timeline: new Timeline(deps),
    completeness: new Completeness(storage),
    [Symbol.asyncDispose]: () => storage.destroy(),
  };
}
export type Ledger = Awaited<ReturnType<typeof openLedger>>;

/** Adds a site and begins a session that names the lanes' epochs. */
export async function beginSession(ledger: Ledger, site: string, lanes: readonly TestLane[]): Promise<string> {
  await ledger.registry.add(site, (await generateGatewayKey()).publicKey);
  const epochs = lanes.map(({ lane, epoch, firstSequence }) => ({ lane, epoch, firstSequence }));
  const hello = { gatewayVersion: "test", bootId: "boot", sentAt: "2026-01-31T08:00:00.000Z", epochs };
  const begun = await ledger.sessions.begin(site, hello);
  if (begun.kind !== "begun") throw new Error(begun.detail);
  return begun.session;
}

/** The revisions of a ledger's sites; what is pushed is signed by a key of their own. */
export async function openRevisions({ storage, clock }: Pick<Ledger, "storage" | "clock">): Promise<Revisions> {
  const { privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  return new Revisions({ storage, clock, signing: { kid: "test", privateKey, publicKey: "" } });
}

/** Has a site's picks go to others. The sites are there. */
export async function routePicks(revisions: Revisions, from: string, to: readonly string[]): Promise<void> {
  await revisions.push(from, siteDocuments({ site: from, send: ["pick.confirmed"] }));
  const consumes = [{ type: "pick.confirmed" }];
  for (const site of to) await revisions.push(site, siteDocuments({ site, receive: ["pick.confirmed"], consumes }));
}

/** A batch as its headers would say it. */
export function headOf(site: string, session: string, lane: TestLane, batch: Batch): BatchHead {
  const entries = parseEntries(batch.entries);
  if (!entries) throw new Error(`not entries: ${batch.entries}`);
  const { firstSequence, count, chain } = batch;
  return { site, lane: lane.lane, session, epoch: lane.epoch, firstSequence, count, chain, entries, ageMs: 0 };
}

/** Everything that the ledger holds, as its API tells it. */
export async function readAll(ledger: Pick<Ledger, "pages">, state?: "recorded" | "repeat") {
  const messages: { position: number; site: string; lane: string; epoch: string; sequence: number; event: { id: string } }[] = [];
  for await (const part of ledger.pages.read({ after: 0, limit: 1e9, state }, AbortSignal.timeout(60_000)))
    for (const line of part.text.toString("utf8").trimEnd().split("\n")) messages.push(JSON.parse(line));
  return messages;
}

/** Time that passes so many times faster for whoever waits. */
export function hastyClock(times: number): Clock {
  return {
    now: systemClock.now,
    monotonic: () => systemClock.monotonic() * times,
    sleep: (ms, signal) => systemClock.sleep(ms / times, signal),
  };
}
