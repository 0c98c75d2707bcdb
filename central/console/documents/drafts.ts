import { createContext, useCallback, useContext, useEffect, useState } from "react";
import type { SourceFile } from "../api/configuration.ts";

export interface Draft {
  readonly files: readonly SourceFile[];
  /** How they were when the writing began. */
  readonly base: readonly SourceFile[];
}

/** What was written and not saved, by what it is a text of: it outlives a way to another page and back, not the browser tab. */
export const DraftsContext = createContext(new Map<string, Draft>());

/** The files being written, as they were when one was last here; whether they differ from how they began, and a way back to what is there now. */
export function useDraft(key: string, begun: readonly SourceFile[]) {
  const drafts = useContext(DraftsContext);
  const [draft, setDraft] = useState<Draft>(() => drafts.get(key) ?? { files: begun, base: begun });
  const changed = draft.files !== draft.base;
  const write = useCallback(
    (index: number, text: string) =>
      setDraft(({ files, base }) => {
        const next = { files: files.map((one, at) => (at === index ? { ...one, text } : one)), base };
        drafts.set(key, next);
        return next;
      }),
    [drafts, key],
  );
  const discard = useCallback(() => {
    drafts.delete(key);
    setDraft({ files: begun, base: begun });
  }, [drafts, key, begun]);
  useEffect(() => {
    if (!changed) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [changed]);
  return { ...draft, changed, write, discard };
}
