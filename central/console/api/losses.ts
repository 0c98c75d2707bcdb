import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { LossesAnswer, UnconfirmedAnswer } from "../../http/api/losses.ts";
import { get, pathOf, send, slowMs } from "./client.ts";

export function useLosses(site: string) {
  return useQuery({
    queryKey: ["site", site, "losses"],
    queryFn: ({ signal }) => get<LossesAnswer>(pathOf(["sites", site, "losses"]), { signal }),
    refetchInterval: 15_000,
  });
}

/** Page by page, the newest first. */
export function useUnconfirmed(site: string) {
  return useInfiniteQuery({
    queryKey: ["site", site, "unconfirmed"],
    queryFn: ({ signal, pageParam }) =>
      get<UnconfirmedAnswer>(
        pathOf(["sites", site, "losses", "unconfirmed"], pageParam === undefined ? {} : { before: String(pageParam) }),
        { signal, timeoutMs: slowMs },
      ),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: ({ answer }) => answer.next ?? undefined,
  });
}

export function useSendAgain(site: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: { readonly sequences: readonly number[]; readonly outOfOrder: boolean }) =>
      send<{ readonly sent: number }>("POST", pathOf(["sites", site, "losses", "send-again"]), body),
    onSettled: () => client.invalidateQueries({ queryKey: ["site", site, "unconfirmed"] }),
  });
}
