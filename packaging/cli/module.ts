/** A part of the program, loaded only by the command that needs it; beside the sources, or beside the built files. */
export function loadModule(
  path: "gateway/main" | "central/main" | "central/backup/main" | "packaging/demo/demo",
): Promise<unknown> {
  return import(new URL(`../../${path}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url).href);
}
