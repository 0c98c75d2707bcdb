import { useQuery } from "@tanstack/react-query";
import type { BackupAnswer, RecoveryAnswer } from "../../http/api/recovery.ts";
import { get, pathOf } from "./client.ts";

export type Restored = NonNullable<RecoveryAnswer["recovery"]>;

export function useRecovery() {
  return useQuery({
    queryKey: ["recovery"],
    queryFn: ({ signal }) => get<RecoveryAnswer>(pathOf(["recovery"]), { signal }),
    refetchInterval: 3000,
  });
}

export function useBackup() {
  return useQuery({
    queryKey: ["backup"],
    queryFn: ({ signal }) => get<BackupAnswer>(pathOf(["backup"]), { signal }),
    refetchInterval: 30_000,
  });
}
