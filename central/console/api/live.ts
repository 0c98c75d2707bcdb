import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

const reopenMs = 5000;

/** Keeps the page live: central's event "sites" says that something changed, and what is shown is fetched again. */
export function useLiveEvents(): void {
  const client = useQueryClient();
  useEffect(() => {
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const changed = () => void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== "orders" });
    const open = () => {
      source = new EventSource("/v1/events");
      source.addEventListener("sites", changed);
      source.onerror = () => {
        // The browser reconnects by itself, except after an answer that is not an event stream.
        if (source?.readyState !== EventSource.CLOSED) return;
        clearTimeout(timer);
        timer = setTimeout(open, reopenMs);
      };
    };
    open();
    return () => {
      clearTimeout(timer);
      source?.close();
    };
  }, [client]);
}
