import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import { describeError } from "../../protocol/index.ts";

/**
 * Test files run in processes of their own: the first one that asks makes it, the others wait for what it says, or fail with it.
 * @param make is given the folder of this run
 */
export async function onceARun(name: string, make: (folder: string) => Promise<string>): Promise<string> {
  const folder = inject("postgresFolder");
  const [made, failed] = [join(folder, `${name}-made`), join(folder, `${name}-failed`)];
  try {
    mkdirSync(join(folder, `${name}-begun`));
  } catch {
    for (let tries = 0; tries < 3000 && !existsSync(made) && !existsSync(failed); tries++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    if (existsSync(failed)) throw new Error(`${name} could not be made: ${readFileSync(failed, "utf8")}`);
    return readFileSync(made, "utf8");
  }
  const said = await make(folder).catch((error: unknown) => {
    write(failed, describeError(error));
    throw error;
  });
  write(made, said);
  return said;
}

/** There whole, or not at all. */
function write(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
