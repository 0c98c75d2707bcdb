import { join } from "node:path";
import { describeError, parseJson } from "../../protocol/index.ts";
import { machineDisk } from "./disk.ts";
import { AgentDocuments } from "./documents.ts";
import { readBundle } from "./signed-bundle.ts";

/**
 * Whether this program understands the configuration that runs from a data folder, by its shape alone: what signs it is judged when it is put
 * into effect. Nothing is changed. @returns why not; undefined: it does, or there is none
 */
export async function judgeConfiguration(dataDir: string, version: string): Promise<string | undefined> {
  // what cannot be read at all is set aside by the gateway, not by whoever looks
  const onlyReads = { ...machineDisk, rename: async () => {} };
  const documents = await AgentDocuments.open(join(dataDir, "agent.db"), { disk: onlyReads });
  const { trial, good } = await documents.state();
  const runs = trial ?? good;
  const jws = runs && (await documents.bundle(runs));
  if (jws === undefined) return undefined;
  const payload = Buffer.from(jws.split(".")[1] ?? "", "base64url");
  const { site = "" } = (parseJson(payload.toString("utf8")) ?? {}) as { site?: string };
  try {
    await readBundle(jws, "disk", { site, version, centralKeys: { verify: async () => payload } });
    return undefined;
  } catch (error) {
    return `revision ${runs?.revision} of the configuration, which runs: ${describeError(error)}`;
  }
}
