import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { SitesAnswer } from "../../http/views.ts";
import { useHistory } from "../parts/history-context.ts";
import type { Received } from "./client.ts";

const reopenMs = 5000;

/** Keeps the page live: central's event "sites" carries the sites when something changed; an order on the screen is fetched again. */
export function useLiveEvents(): void {
  const client = useQueryClient();
  const history = useHistory();
  useEffect(() => {
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const changed = (event: MessageEvent<string>) => {
      const answer = toAnswer(event.data);
      if (answer) {
        const received: Received<SitesAnswer> = { answer, receivedAtMs: performance.now() };
        history.record(answer, received.receivedAtMs);
        client.setQueryData(["sites"], received);
      } else {
        void client.invalidateQueries({ queryKey: ["sites"] });
      }
      void client.invalidateQueries({ queryKey: ["order"] });
    };
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
  }, [client, history]);
}

/** The event's data where it holds the sites; without data the page asks. */
function toAnswer(data: string): SitesAnswer | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null && "sites" in value && Array.isArray(value.sites)
      ? (value as SitesAnswer)
      : undefined;
  } catch {
    return undefined;
  }
}
