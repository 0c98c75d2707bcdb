import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { z } from "zod";
import type { ChangeDiff, ChangeView, changeBody, changeEdit, changesAnswer } from "../../http/api/changes.ts";
import type { documentProblemView } from "../../http/api/common.ts";
import type { DocumentHistory, DocumentRevision, documentsAnswer, sourceFile, validateAnswer } from "../../http/api/documents.ts";
import type { ReleasesAnswer } from "../../http/api/releases.ts";
import type { RolloutView, rolloutsAnswer } from "../../http/api/rollouts.ts";
import { get, pathOf, send, slowMs } from "./client.ts";

/** Documents, changes and rollouts. Lists and one thing each; what changes something asks for everything of its kind again. */
export type DocumentProblem = z.infer<typeof documentProblemView>;
export type SourceFile = z.infer<typeof sourceFile>;
export type ChangesAnswer = z.infer<typeof changesAnswer>;
export type DocumentsAnswer = z.infer<typeof documentsAnswer>;
export type RolloutsAnswer = z.infer<typeof rolloutsAnswer>;
export type NewChange = z.input<typeof changeBody>;
export type ChangeEdit = z.input<typeof changeEdit>;

/** As many changes and rollouts as central lists at once; the newest. */
export const listed = 500;

/** Pages that show what others do. */
const calmPollMs = 5000;
/** A rollout that is under way. */
const livePollMs = 1000;

export function useDocuments() {
  return useQuery({
    queryKey: ["documents"],
    queryFn: ({ signal }) => get<DocumentsAnswer>(pathOf(["documents"]), { signal }),
    refetchInterval: calmPollMs,
  });
}

export function useDocument(kind: string, name: string) {
  return useQuery({
    queryKey: ["documents", kind, name],
    queryFn: ({ signal }) => get<DocumentHistory>(pathOf(["documents", kind, name]), { signal }),
    refetchInterval: calmPollMs,
  });
}

/** A revision never changes: asked for once. */
export function useDocumentRevision(kind: string, name: string, revision: number | undefined) {
  return useQuery({
    queryKey: ["document-revision", kind, name, revision],
    queryFn: ({ signal }) =>
      get<DocumentRevision>(pathOf(["documents", kind, name, "revisions", revision ?? 0]), { signal, timeoutMs: slowMs }),
    enabled: revision !== undefined && revision > 0,
    staleTime: Number.POSITIVE_INFINITY,
  });
}

export function validate(files: readonly SourceFile[], environment: string | undefined, signal: AbortSignal) {
  return postForAnswer<z.infer<typeof validateAnswer>>(["validate"], { files, environment }, signal);
}

async function postForAnswer<T>(parts: readonly string[], body: unknown, signal: AbortSignal): Promise<T> {
  const answer = await send<T>("POST", pathOf(parts), body);
  signal.throwIfAborted();
  return answer;
}

/** The JSON Schema of a kind of document, for completion; absent where central has none. */
export function useSchema(kind: string) {
  return useQuery({
    queryKey: ["schema", kind],
    queryFn: ({ signal }) => get<unknown>(pathOf(["schemas", `${kind}.json`]), { signal, timeoutMs: slowMs }),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
}

export function useChanges() {
  return useQuery({
    queryKey: ["changes"],
    queryFn: ({ signal }) => get<ChangesAnswer>(pathOf(["changes"], { limit: listed }), { signal }),
    refetchInterval: calmPollMs,
  });
}

export function useChange(number: number, enabled = true) {
  return useQuery({
    queryKey: ["changes", number],
    queryFn: ({ signal }) => get<ChangeView>(pathOf(["changes", number]), { signal }),
    enabled,
    refetchInterval: ({ state }) => (state.data?.answer.state === "rolling-out" ? 2 * livePollMs : calmPollMs),
  });
}

/** Rendered for every site that the change touches: asked for anew only when the change's version is another one. */
export function useChangeDiff(number: number, version: number | undefined) {
  return useQuery({
    queryKey: ["change-diff", number, version],
    queryFn: ({ signal }) => get<ChangeDiff>(pathOf(["changes", number, "diff"]), { signal, timeoutMs: slowMs }),
    enabled: version !== undefined,
    staleTime: 60_000,
  });
}

export function useCreateChange() {
  return useChanging((body: NewChange) => send<ChangeView>("POST", pathOf(["changes"]), body));
}
export function useEditChange() {
  const client = useQueryClient();
  return useChanging(async ({ number, ...body }: ChangeEdit & { readonly number: number }) => {
    const answer = await send<ChangeView>("PUT", pathOf(["changes", number]), body);
    // at once, so that nobody sees the text before beside the digest after
    client.setQueryData(["changes", number], { answer, receivedAtMs: performance.now() });
    return answer;
  });
}

/** A decision names the digest that was read: another text than that is not what was agreed to. */
export function useDecide(number: number) {
  return useChanging(({ act, ...body }: { readonly act: string; readonly comment: string; readonly digest?: string }) =>
    send<ChangeView>("POST", pathOf(["changes", number, act]), body),
  );
}
export function useComment(number: number) {
  return useChanging((text: string) => send("POST", pathOf(["changes", number, "comments"]), { text }));
}
export function usePromote(number: number) {
  return useChanging((environment: string) => send<ChangeView>("POST", pathOf(["changes", number, "promote"]), { environment }));
}

export function useRollouts() {
  return useQuery({
    queryKey: ["rollouts"],
    queryFn: ({ signal }) => get<RolloutsAnswer>(pathOf(["rollouts"], { limit: listed }), { signal }),
    refetchInterval: 2 * livePollMs,
  });
}

export function useRollout(number: number) {
  return useQuery({
    queryKey: ["rollouts", number],
    queryFn: ({ signal }) => get<RolloutView>(pathOf(["rollouts", number]), { signal }),
    refetchInterval: ({ state }) => (state.data && state.data.answer.endedAt !== null ? calmPollMs : livePollMs),
  });
}

export function useReleases() {
  return useQuery({
    queryKey: ["releases"],
    queryFn: ({ signal }) => get<ReleasesAnswer>(pathOf(["releases"]), { signal }),
    refetchInterval: 2 * livePollMs,
  });
}

/** A version of gateways, as a change that is handed on at once. */
export function useRollOut() {
  return useChanging(async (body: Pick<NewChange, "title" | "environment" | "release" | "untested">) => {
    const { number } = await send<ChangeView>("POST", pathOf(["changes"]), body);
    return send<ChangeView>("POST", pathOf(["changes", number, "submit"]), {});
  });
}

/** Takes away a package that was begun and has not come whole. */
export function useDropUpload() {
  return useChanging((upload: string) => send("DELETE", pathOf(["releases", "uploads", upload])));
}

export function useSteer(number: number) {
  return useChanging(({ act, reason }: { readonly act: string; readonly reason: string }) =>
    send("POST", pathOf(["rollouts", number, act]), { reason }),
  );
}

function useChanging<Input, Answer>(mutationFn: (input: Input) => Promise<Answer>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSettled: () =>
      Promise.all(["changes", "rollouts", "documents", "releases"].map((kind) => client.invalidateQueries({ queryKey: [kind] }))),
  });
}
