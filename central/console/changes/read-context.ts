import { createContext, useContext } from "react";

/** Told the digest of what one has just made of the change oneself: that needs no second reading. */
export const ReadContext = createContext<(digest: string) => void>(() => undefined);

export function useOwnEdit(): (digest: string) => void {
  return useContext(ReadContext);
}
