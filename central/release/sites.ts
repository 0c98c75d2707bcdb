import type { ReleaseSite } from "../http/api/releases.ts";
import type { Storage } from "../storage/storage.ts";
import { beside } from "./beside.ts";
import { gatewayOf } from "./carried.ts";

/** What the gateway of each site runs, as it last said, and what it should run. */
export async function releaseSites(storage: Storage, central: string | null): Promise<ReleaseSite[]> {
  const rows = await storage
    .selectFrom("sites")
    .select(["name", "environment", "status", "desired_version"])
    .where("revoked_at", "is", null)
    .orderBy("name")
    .execute();
  return rows.map(({ name, environment, status, desired_version: desired }) => {
    const gateway = gatewayOf(status);
    const upgrade = gateway?.upgrade ?? null;
    return {
      site: name,
      environment,
      version: gateway?.version ?? null,
      beside: beside(gateway?.version ?? null, central),
      platform: gateway?.platform ?? null,
      installed: gateway?.installed ?? null,
      desiredVersion: desired === "" ? null : desired,
      upgrade: upgrade && {
        ...{ state: upgrade.state, version: upgrade.version ?? null, reason: upgrade.reason ?? null, at: upgrade.at ?? null },
        ...{ bytes: upgrade.bytes ?? null, size: upgrade.size ?? null },
      },
    };
  });
}
