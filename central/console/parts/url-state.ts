import { useCallback } from "react";
import { useLocation, useSearch } from "wouter";

/**
 * Filters that stand in the address: a link to the page is a link to what is seen. Typing replaces, it makes no steps back. The address as it
 * is at the moment is what is changed, so that several can be set in one go.
 */
export function useUrlState(name: string): readonly [string, (value: string) => void] {
  const search = useSearch();
  const [, navigate] = useLocation();
  const set = useCallback(
    (value: string) => {
      const next = new URLSearchParams(location.search);
      if (value === "") next.delete(name);
      else next.set(name, value);
      navigate(`${location.pathname}${next.size === 0 ? "" : `?${next.toString()}`}`, { replace: true });
    },
    [name, navigate],
  );
  return [new URLSearchParams(search).get(name) ?? "", set];
}
