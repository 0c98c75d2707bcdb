import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const sources = join(root, "central/console");
const built = join(root, "dist/console");

/** Builds the console when it was never built, or when a source is newer than what was built. @returns true when it did */
export async function buildConsole(): Promise<boolean> {
  const index = join(built, "index.html");
  if (existsSync(index) && newest(sources) <= statSync(index).mtimeMs) return false;
  const { build } = await import("vite");
  await build({ configFile: join(root, "packaging/vite.config.ts"), logLevel: "warn" });
  return true;
}

function newest(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).reduce(
    (latest, file) => (file.isFile() ? Math.max(latest, statSync(join(file.parentPath, file.name)).mtimeMs) : latest),
    0,
  );
}
