import type { CloudEvent } from "../../protocol/index.ts";
import { TestLane } from "./gateway-client.ts";
import { beginSession, headOf, type Ledger } from "./ledger.ts";
import { delivered, pick, released, sample } from "./messages.ts";
import { siteDocuments } from "./site-documents.ts";

/** The same batches in each process that makes them: with repeats, refusals and holes, recorded in groups. */
const at = { recordedAt: Date.parse("2026-01-31T08:00:00.000Z") };
const site = "plant-a";

export function scriptLanes(): { picks: TestLane; samples: TestLane } {
  const picks = new TestLane(site, "transaction", { epoch: "picks-1" });
  const samples = new TestLane(site, "telemetry", { epoch: "samples-1" });
  const first = pick(site, "T-1", { ...at, id: "m-1" });
  const own = (id: string, event: CloudEvent): CloudEvent => ({ ...event, id });
  picks.append([first, own("m-2", pick(site, "T-2", at)), first, own("m-3", released(site, "mo-not-granted", 1, at))]);
  picks.append([own("m-4", pick(site, "T-3", at)), own("m-5", delivered(site, first, "accepted", at))]);
  picks.append([own("m-6", pick(site, "T-4", at))]);
  for (let frame = 0; frame < 4; frame++)
    samples.append(Array.from({ length: 300 }, (_, index) => own(`s-${frame}-${index}`, sample(site, index, at))));
  samples.discard(301, 600, "age");
  return { picks, samples };
}

/** Signing key of the revisions: what it is does not matter here. */
export async function prepare(ledger: Ledger): Promise<string> {
  const { Revisions } = await import("../../central/document/revisions.ts");
  const { privateKey } = await crypto.subtle.generateKey("Ed25519", false, ["sign"]).then((pair) => pair as CryptoKeyPair);
  const signing = { kid: "test", privateKey, publicKey: "" };
  const revisions = new Revisions({ storage: ledger.storage, clock: ledger.clock, signing });
  const { picks, samples } = scriptLanes();
  const session = await beginSession(ledger, site, [picks, samples]);
  await beginSession(ledger, "hq", []);
  await revisions.push(site, siteDocuments({ site, send: ["pick.confirmed", "equipment.sampled"] }));
  await revisions.push("hq", siteDocuments({ site: "hq", receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] }));
  return session;
}

/** Sends what is not recorded yet, as a gateway does after a hello; batches of both lanes at once share a transaction. */
export async function recordScript(ledger: Ledger): Promise<void> {
  const { picks, samples } = scriptLanes();
  const { session } = await ledger.storage
    .selectFrom("sites")
    .select("session")
    .where("name", "=", site)
    .executeTakeFirstOrThrow();
  const rows = await ledger.storage.selectFrom("epochs").select(["lane", "watermark"]).execute();
  const sending: Promise<unknown>[] = [];
  for (const lane of [picks, samples]) {
    const watermark = rows.find((row) => row.lane === lane.lane)?.watermark ?? 0;
    for (const start of lane.starts.filter((first) => first > watermark)) {
      const next = lane.starts.find((first) => first > start) ?? lane.last + 1;
      const batch = lane.batch(start, next - 1);
      sending.push(ledger.ingest.record(headOf(site, session ?? "", lane, batch), batch.body));
    }
  }
  await Promise.all(sending);
}
