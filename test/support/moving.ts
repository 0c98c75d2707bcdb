import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { CentralKeys } from "../../gateway/identity/central-keys.ts";
import { Identity } from "../../gateway/identity/identity.ts";
import { writeStored } from "../../gateway/settings/stored.ts";
import type { SigningChain } from "../../protocol/index.ts";
import { startTestCentral, type TestCentral } from "./central.ts";
import { erpDocuments } from "./documents.ts";
import { type PeerCall, startHttpPeer } from "./http-peer.ts";
import { freePort } from "./mosquitto.ts";
import { type RunningProcess, startPlantgate } from "./process.ts";
import { siteDocuments } from "./site-documents.ts";
import type { StorageKind } from "./storages.ts";

/** A central that is found again under its address. */
export async function startCentralAt(storage: StorageKind): Promise<TestCentral> {
  return startTestCentral({ storage, settings: { port: await freePort() } });
}

export async function push(central: TestCentral, site: string, files: readonly { name: string; text: string }[]): Promise<void> {
  const answer = await central.admin("POST", `/v1/sites/${site}/revisions`, { files });
  if (answer.status >= 300) throw new Error(`push: ${JSON.stringify(answer.body)}`);
}

/** An ERP that books what it is given, or says that it cannot. */
export async function startErp() {
  let open = false;
  const booked: string[] = [];
  const peer = await startHttpPeer((call: PeerCall, response) => {
    if (open && call.path === "/picks") booked.push((JSON.parse(call.body) as { txnId: string }).txnId);
    response.writeHead(open ? 200 : 503).end("{}");
  });
  return Object.assign(peer, {
    booked,
    open: () => {
      open = true;
    },
  });
}

/** A data folder of hq that central knows, as enrollment leaves it. */
export async function enrolledFolder(central: TestCentral, dataDir: string): Promise<void> {
  mkdirSync(dataDir, { recursive: true });
  await central.admin("POST", "/v1/sites", { name: "hq", publicKey: Identity.open(dataDir).publicPem });
  const chain = (await (await fetch(`${central.url}/v1/signing-keys`)).json()) as SigningChain;
  (await CentralKeys.judge(dataDir, chain)).save();
  writeStored(dataDir, { site: "hq", centralUrl: central.url });
}

export const startGateway = (dataDir: string): RunningProcess =>
  startPlantgate(["gateway", "--data", dataDir, "--http-port", "0"]);

export async function listenerOf(gateway: RunningProcess): Promise<string> {
  return String((await gateway.logged("gateway.process.started")).listener);
}

/** hq with an ERP, and lyon, which sends picks to it and takes its orders. */
export async function openHq(central: TestCentral, erpUrl: string, folder: string) {
  const dataDir = join(folder, "old");
  await enrolledFolder(central, dataDir);
  const files = erpDocuments({ erpUrl }).map((document) => ({
    name: `${document.kind}.json`,
    text: JSON.stringify(document),
  }));
  await push(central, "hq", files);
  const lyon = await central.addSite("lyon");
  const consumes = [{ type: "production-order.released" }];
  await push(
    central,
    "lyon",
    siteDocuments({ site: "lyon", send: ["pick.confirmed"], receive: ["production-order.released"], consumes }),
  );
  return { dataDir, lyon };
}
