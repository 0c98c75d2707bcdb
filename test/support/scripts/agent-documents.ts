import { writeSync } from "node:fs";
import { AgentDocuments } from "../../../gateway/agent/documents.ts";

/** Writes bundles and states into the file named on the command line, and says after each that it is noted. */
const documents = await AgentDocuments.open(process.argv[2] as string, { spareBytes: 0 });
for (let revision = 1; revision <= 6; revision++) {
  const stored = { revision, digest: String(revision).repeat(64) };
  await documents.saveBundle(stored, `bundle ${revision}`);
  writeSync(1, `noted bundle ${revision}\n`);
  await documents.saveState({ desired: stored, good: stored });
  writeSync(1, `noted state ${revision}\n`);
}
