import { createHash } from "node:crypto";
import { PlantgateError } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Identity } from "./folder.ts";
import { readMeta, writeMeta } from "./incarnation.ts";
import type { Storage } from "./storage.ts";

/**
 * Replicas of one database are one central: gateways verify bundles with one key, whichever replica signed them. The keys stay in files of
 * each data folder, out of the database and its backups; the database only knows which they are.
 * @throws PlantgateError CONFIG_INVALID for a replica with another signing key
 */
export async function joinDatabase(storage: Storage, identity: Identity, dataDir: string, log: Logger): Promise<void> {
  const known = await readMeta(storage, "signing-key");
  if (known !== undefined && known !== identity.signing.kid) {
    throw new PlantgateError(
      "CONFIG_INVALID",
      `this database belongs to a central with another signing key: copy signing-key.json and admin.token of its data folder into ${dataDir}`,
    );
  }
  if (known === undefined) await writeMeta(storage, "signing-key", identity.signing.kid);
  const token = createHash("sha256").update(identity.adminToken).digest("hex");
  const other = await readMeta(storage, "admin-token");
  if (other !== undefined && other !== token)
    log.warn(
      { event: "central.token.differs" },
      "the admin token is not the one of the replica that started last: each takes its own only",
    );
  if (other !== token) await writeMeta(storage, "admin-token", token);
}
