import { randomUUID } from "node:crypto";
import { compareVersions } from "../../protocol/index.ts";
import type { VersionRef } from "../rollout/target.ts";
import type { StorageTransaction } from "../storage/storage.ts";
import { gatewayOf } from "./carried.ts";

/**
 * Says which version a site's program should be. Each saying has a name of its own, also after a restore: the same version may be wanted again after it was
 * given back. That an older one is meant is noted now: a restored central, which knows an older wish, leads nobody back by it.
 */
export async function desireVersion(
  tx: StorageTransaction,
  site: string,
  to: VersionRef,
  { rollout, isBack }: { readonly rollout: number; readonly isBack: boolean },
): Promise<void> {
  const row = await tx.selectFrom("sites").select("status").where("name", "=", site).executeTakeFirst();
  const running = gatewayOf(row?.status ?? null)?.version;
  const isOlder = isBack || (running !== undefined && compareVersions(to.version, running) < 0);
  await tx
    .updateTable("sites")
    .set({
      ...{ desired_version: to.version, desired_package: to.package ?? "", desired_older: isOlder ? 1 : 0 },
      desired_attempt: `${rollout}.${randomUUID()}`,
    })
    .where("name", "=", site)
    .execute();
}
