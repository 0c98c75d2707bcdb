import { existsSync } from "node:fs";

type Part = "gateway/main" | "central/main" | "central/backup/main" | "packaging/demo/demo";

/** A part of the program, loaded only by the command that needs it; beside the sources, or beside the built files. */
export function loadModule(path: Part): Promise<unknown> {
  return import(placeOf(path).href);
}

/** Packages leave the demo out. */
export function hasModule(path: Part): boolean {
  return existsSync(placeOf(path));
}

function placeOf(path: Part): URL {
  return new URL(`../../${path}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}
