import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { z } from "zod";
import type { auditAnswer, auditVerification, newToken, newUser, tokenView, UserView, userEdit } from "../../http/api/people.ts";
import { get, pathOf, send, slowMs } from "./client.ts";

/** Users, their tokens, and the record of what they did. */
export type Token = z.infer<typeof tokenView>;
export type NewUser = z.input<typeof newUser>;
export type NewToken = z.input<typeof newToken>;
export type UserEdit = z.input<typeof userEdit>;
export type AuditAnswer = z.infer<typeof auditAnswer>;
export type AuditVerification = z.infer<typeof auditVerification>;

export function useUsers() {
  return useQuery({
    queryKey: ["users"],
    queryFn: ({ signal }) => get<{ readonly users: readonly UserView[] }>(pathOf(["users"]), { signal }),
    refetchInterval: 10_000,
  });
}
export function useAddUser() {
  return useChanging("users", (body: NewUser) => send<UserView>("POST", pathOf(["users"]), body));
}
export function useEditUser() {
  return useChanging("users", ({ name, ...body }: UserEdit & { readonly name: string }) =>
    send("PATCH", pathOf(["users", name]), body),
  );
}
/** A link that signs in once, to set a password. */
export function useMakeLink() {
  return useMutation({
    mutationFn: (name: string) => send<{ readonly url: string }>("POST", pathOf(["users", name, "links"]), {}),
    gcTime: 0,
  });
}

export function useTokens() {
  return useQuery({
    queryKey: ["tokens"],
    queryFn: ({ signal }) => get<{ readonly tokens: readonly Token[] }>(pathOf(["tokens"]), { signal }),
    refetchInterval: 10_000,
  });
}
export function useMakeToken() {
  return useChanging("tokens", (body: NewToken) => send<{ readonly token: string }>("POST", pathOf(["tokens"]), body));
}
export function useRevokeToken() {
  return useChanging("tokens", (id: string) => send("DELETE", pathOf(["tokens", id])));
}

export interface AuditFilter {
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
}
const auditPage = 200;

/** The newest first, a page further back each time. */
export function useAudit(filter: AuditFilter) {
  return useInfiniteQuery({
    queryKey: ["audit", filter],
    initialPageParam: 0,
    queryFn: ({ signal, pageParam }) =>
      get<AuditAnswer>(pathOf(["audit"], { before: pageParam, limit: auditPage, ...filter }), { signal, timeoutMs: slowMs }),
    getNextPageParam: ({ answer }) => (answer.next > 1 ? answer.next : undefined),
  });
}
export function useVerifyAudit() {
  return useMutation({
    mutationFn: async () => (await get<AuditVerification>(pathOf(["audit", "verify"]), { timeoutMs: slowMs })).answer,
  });
}

function useChanging<Input, Answer>(kind: string, mutationFn: (input: Input) => Promise<Answer>) {
  const client = useQueryClient();
  return useMutation({ mutationFn, gcTime: 0, onSettled: () => client.invalidateQueries({ queryKey: [kind] }) });
}
