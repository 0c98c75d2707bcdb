import "@mantine/core/styles.layer.css";
import "./console.css";
import "./orders/orders.css";
import "./configuration.css";
import "./editor.css";
import "./recovery/recovery.css";
import { MantineProvider } from "@mantine/core";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { lookAgainAfter } from "./api/session.ts";
import { App } from "./app.tsx";
import { History } from "./parts/history.ts";
import { HistoryContext } from "./parts/history-context.ts";
import { SessionGate } from "./signin/session-gate.tsx";
import { theme } from "./theme.ts";

// `always`: central is often on this very machine or network, whatever the browser thinks of the internet. No retries: the
// next poll is the retry, and an error is shown at once.
const queries: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError: (error) => lookAgainAfter(queries, error, [401]) }),
  mutationCache: new MutationCache({ onError: (error) => lookAgainAfter(queries, error, [401, 403]) }),
  defaultOptions: {
    queries: { networkMode: "always", retry: false, refetchOnWindowFocus: true, gcTime: 60_000 },
    mutations: { networkMode: "always", retry: false },
  },
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto">
        <QueryClientProvider client={queries}>
          <HistoryContext value={new History()}>
            <SessionGate>
              <App />
            </SessionGate>
          </HistoryContext>
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
