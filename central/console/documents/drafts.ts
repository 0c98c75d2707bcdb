import { createContext, useCallback, useContext, useEffect, useState } from "react";
import type { SourceFile } from "../api/configuration.ts";

/** What was written and not saved, by what it is a text of: it outlives a way to another page and back, not the browser tab. */
export const DraftsContext = createContext(new Map<string, readonly SourceFile[]>());

/**
 * The files being written, as they were when one was last here.
 * @returns also whether they differ from how they began, and a way back to that
 */
export function useDraft(key: string, begun: readonly SourceFile[]) {
  const drafts = useContext(DraftsContext);
  const [files, setFiles] = useState(() => drafts.get(key) ?? begun);
  const changed = files !== begun;
  const write = useCallback(
    (index: number, text: string) =>
      setFiles((before) => {
        const next = before.map((one, at) => (at === index ? { ...one, text } : one));
        drafts.set(key, next);
        return next;
      }),
    [drafts, key],
  );
  const discard = useCallback(() => {
    drafts.delete(key);
    setFiles(begun);
  }, [drafts, key, begun]);
  useEffect(() => {
    if (!changed) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [changed]);
  return { files, changed, write, discard };
}
