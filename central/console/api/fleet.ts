import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { z } from "zod";
import type { secretsAnswer } from "../../http/api/secrets.ts";
import type {
  bundleDiff,
  DryRunView,
  EffectiveView,
  enrollmentToken,
  gatewayKeyView,
  shadowAnswer,
  siteRevisions,
} from "../../http/api/sites.ts";
import { get, pathOf, send, slowMs } from "./client.ts";

/** One site: its configuration, revisions, secrets, keys, dry runs. */
export type GatewayKey = z.infer<typeof gatewayKeyView>;
export type SiteRevisions = z.infer<typeof siteRevisions>;
export type BundleDiff = z.infer<typeof bundleDiff>;
export type EnrollmentToken = z.infer<typeof enrollmentToken>;

const pollMs = 5000;

export function useEffective(site: string) {
  return useQuery({
    queryKey: ["site", site, "effective"],
    queryFn: ({ signal }) => get<EffectiveView>(pathOf(["sites", site, "effective"]), { signal, timeoutMs: slowMs }),
    refetchInterval: pollMs,
  });
}

export function useSiteRevisions(site: string) {
  return useQuery({
    queryKey: ["site", site, "revisions"],
    queryFn: ({ signal }) => get<SiteRevisions>(pathOf(["sites", site, "revisions"]), { signal }),
    refetchInterval: pollMs,
  });
}

/** `to`: a revision, or `change:12`, which is rendered for it. */
export function useBundleDiff(site: string, from: string, to: string) {
  return useQuery({
    queryKey: ["site", site, "diff", from, to],
    queryFn: ({ signal }) => get<BundleDiff>(pathOf(["sites", site, "diff"], { from, to }), { signal, timeoutMs: slowMs }),
    enabled: from !== "" && to !== "" && from !== to,
    staleTime: 60_000,
  });
}

/** Of each flow in shadow what it would have done, beside what the live ones did. */
export function useShadow(site: string) {
  return useQuery({
    queryKey: ["site", site, "shadow"],
    queryFn: ({ signal }) => get<z.infer<typeof shadowAnswer>>(pathOf(["sites", site, "shadow"]), { signal }),
    refetchInterval: pollMs,
  });
}

export function useSecrets() {
  return useQuery({
    queryKey: ["secrets"],
    queryFn: ({ signal }) => get<z.infer<typeof secretsAnswer>>(pathOf(["secrets"]), { signal }),
    refetchInterval: 4 * pollMs,
  });
}

export function useKeys(site: string) {
  return useQuery({
    queryKey: ["site", site, "keys"],
    queryFn: ({ signal }) => get<{ readonly keys: readonly GatewayKey[] }>(pathOf(["sites", site, "keys"]), { signal }),
    refetchInterval: pollMs,
  });
}

/** Confirming or revoking one key, named by its fingerprint. */
export function useDecideKey(site: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ fingerprint, act }: { readonly fingerprint: string; readonly act: "confirm" | "revoke" }) =>
      send("POST", pathOf(["sites", site, "keys", fingerprint, act])),
    onSettled: () => client.invalidateQueries({ queryKey: ["site", site, "keys"] }),
  });
}

/** The gateway makes a new key with its next report. */
export function useAskRotation(site: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => send("POST", pathOf(["sites", site, "rotate-key"])),
    onSettled: () => client.invalidateQueries({ queryKey: ["site", site, "keys"] }),
  });
}

export function useMakeEnrollmentToken(site: string) {
  return useMutation({
    mutationFn: (lifeSeconds: number) =>
      send<EnrollmentToken>("POST", pathOf(["sites", site, "enrollment-tokens"]), { lifeSeconds }),
    // shown once: neither this page nor the browser keeps it
    gcTime: 0,
  });
}

export function useAskDryRun() {
  return useMutation({
    mutationFn: ({ site, ...body }: { readonly site: string; readonly change: number; readonly messages: number }) =>
      send<DryRunView>("POST", pathOf(["sites", site, "dry-runs"]), body),
  });
}

export function useDryRun(site: string, id: string | undefined) {
  return useQuery({
    queryKey: ["dry-run", site, id],
    queryFn: ({ signal }) => get<DryRunView>(pathOf(["sites", site, "dry-runs", id ?? ""]), { signal }),
    enabled: id !== undefined,
    refetchInterval: ({ state }) => (state.data && state.data.answer.state !== "asked" ? false : 1000),
  });
}
