import { createHash } from "node:crypto";
import type { Logger } from "../telemetry/logger.ts";
import type { Identity } from "./folder.ts";
import { readMeta, writeMeta } from "./incarnation.ts";
import type { Storage } from "./storage.ts";

/** Replicas of one database have one admin token each, and should have the same. What they sign with is judged by `SigningKeys`. */
export async function joinDatabase(storage: Storage, identity: Identity, log: Logger): Promise<void> {
  const token = createHash("sha256").update(identity.adminToken).digest("hex");
  const other = await readMeta(storage, "admin-token");
  if (other !== undefined && other !== token)
    log.warn(
      { event: "central.token.differs" },
      "the admin token is not the one of the replica that started last: each takes its own only",
    );
  if (other !== token) await writeMeta(storage, "admin-token", token);
}
