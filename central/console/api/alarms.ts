import { useQuery } from "@tanstack/react-query";
import type { z } from "zod";
import type { exceptionsAnswer } from "../../http/views.ts";
import { get, pathOf } from "./client.ts";

export function useAlarms() {
  return useQuery({
    queryKey: ["exceptions"],
    queryFn: ({ signal }) => get<z.infer<typeof exceptionsAnswer>>(pathOf(["exceptions"]), { signal }),
    refetchInterval: 5000,
  });
}
