import type { StorageKind } from "../../../support/storages.ts";
import type { ControlRoom } from "../plant/control-room.ts";
import { centralSeeds } from "./central.ts";
import { connectorSeeds } from "./connectors.ts";
import { controlRoomSeeds, postgresSeeds, sqliteSeeds } from "./control-room.ts";
import { folderSeeds, stoppedSeeds } from "./folder.ts";
import { hostSeeds } from "./host.ts";
import { gatewayMachineSeeds } from "./machine.ts";
import type { Seed } from "./seed.ts";

/** Everything that is known to go wrong on a plant's server, as far as it can be planted on one that really runs. */
export const gatewaySeeds: readonly Seed[] = [
  ...hostSeeds,
  ...gatewayMachineSeeds,
  ...folderSeeds,
  ...connectorSeeds,
  ...centralSeeds,
  ...stoppedSeeds,
];

/** And on central's. */
export function ofControlRoom(storage: StorageKind): readonly Seed<ControlRoom>[] {
  // which version runs a central tells by its tree, and this one is started from the sources
  const common = hostSeeds.filter(({ needs }) => !needs?.includes("process"));
  return [...common, ...controlRoomSeeds, ...(storage === "postgres" ? postgresSeeds : sqliteSeeds)];
}
