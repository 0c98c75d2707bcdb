import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { OrdersAnswer, OrderView, SitesAnswer } from "../../http/views.ts";
import { useHistory } from "../parts/history-context.ts";
import { get, pathOf } from "./client.ts";

// Events make the page quick; polling proves that central still answers when nothing changes.
const pollMs = 2000;

export function useSites() {
  const history = useHistory();
  return useQuery({
    queryKey: ["sites"],
    queryFn: async ({ signal }) => {
      const received = await get<SitesAnswer>(pathOf(["sites"]), { signal });
      history.record(received.answer, received.receivedAtMs);
      return received;
    },
    refetchInterval: pollMs,
  });
}

/** Orders whose number or id contains the text. */
export function useOrders(query: string, enabled = true) {
  return useQuery({
    queryKey: ["orders", query],
    queryFn: ({ signal }) => get<OrdersAnswer>(`/v1/orders?q=${encodeURIComponent(query)}`, { signal }),
    enabled,
    placeholderData: keepPreviousData,
    staleTime: 3000,
  });
}

export function useOrder(id: string) {
  return useQuery({
    queryKey: ["order", id],
    queryFn: ({ signal }) => get<OrderView>(pathOf(["orders", id]), { signal }),
    refetchInterval: pollMs,
  });
}
