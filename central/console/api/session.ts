import { type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import type { Role } from "../../auth/actor.ts";
import type { SessionView } from "../../http/api/people.ts";
import { ApiError, get, pathOf, send, setCsrf, slowMs } from "./client.ts";

const key = ["session"] as const;
/** A session ends by time: noticed within a minute also where nothing else is asked. */
const lookAgainMs = 60_000;

/** Who this browser is; null: nobody is signed in. */
export function useSession() {
  return useQuery({
    queryKey: key,
    queryFn: async ({ signal }): Promise<SessionView | null> => {
      try {
        const { answer } = await get<SessionView>(pathOf(["session"]), { signal });
        setCsrf(answer.csrf);
        return answer;
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) return null;
        throw error;
      }
    },
    // a one-time link that is opened in another tab signs this one in, too
    refetchInterval: ({ state }) => (state.error || !state.data ? 3000 : lookAgainMs),
  });
}

/** After a call that was refused: the session may be over, or another tab may have begun another one. */
export function lookAgainAfter(client: QueryClient, error: unknown, refused: readonly number[]): void {
  if (error instanceof ApiError && refused.includes(error.status)) void client.invalidateQueries({ queryKey: key });
}

export function useSignIn() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: { readonly user: string; readonly password: string }) => send("POST", pathOf(["session"]), body),
    // what was asked before without a session, or as somebody else, is asked again
    onSuccess: () => client.invalidateQueries(),
  });
}

export function useSignOut() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => send("DELETE", pathOf(["session"])),
    // only when central said so: a page that looks signed out and is not would be a trap on a shared screen
    onSuccess: () => {
      setCsrf(null);
      client.clear();
      location.assign("/");
    },
  });
}

export function useSetPassword() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: { readonly current?: string; readonly next: string }) =>
      send("PUT", pathOf(["session", "password"]), body, slowMs),
    onSuccess: () => client.invalidateQueries({ queryKey: key }),
  });
}

export const SessionContext = createContext<SessionView>({
  user: "",
  kind: "user",
  roles: [],
  environments: [],
  csrf: null,
  mustSetPassword: false,
});

export function useMe(): SessionView {
  return useContext(SessionContext);
}

/** Whether the page should offer it; central decides when it is asked. An admin may do what engineers and operators do. */
export function useHasRole(...wanted: readonly Role[]): boolean {
  const { roles } = useMe();
  return wanted.some((role) => roles.includes(role) || (role !== "approver" && roles.includes("admin")));
}
