/**
 * Where a worker's program lies: beside the sources while we run from source, beside the built files once built; this file lies one folder
 * deep in both (gateway/worker-url.ts).
 */
export function workerUrl(path: "document/render-worker"): URL {
  return new URL(`../central/${path}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}
