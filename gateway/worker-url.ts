/**
 * Where a worker's program lies: beside the sources while we run from source, beside the built files once built. This file lies in
 * `gateway/` in the one and in `gateway/` or `chunks/` in the other, so the relative path is the same and only the ending differs.
 */
export function workerUrl(path: "queue/worker" | "flow/expression-worker" | "rehearsal/dry-run-worker"): URL {
  return new URL(`../gateway/${path}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}
