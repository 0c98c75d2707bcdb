import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";

/**
 * Test files run in processes of their own: the first one that asks makes it, the others wait for what it says.
 * @param make is given the folder of this run
 */
export async function onceARun(name: string, make: (folder: string) => Promise<string>): Promise<string> {
  const folder = inject("postgresFolder");
  const made = join(folder, `${name}-made`);
  try {
    mkdirSync(join(folder, `${name}-begun`));
  } catch {
    for (let tries = 0; tries < 3000 && !existsSync(made); tries++) await new Promise((resolve) => setTimeout(resolve, 100));
    return readFileSync(made, "utf8");
  }
  const said = await make(folder);
  writeFileSync(`${made}.new`, said);
  renameSync(`${made}.new`, made);
  return said;
}
