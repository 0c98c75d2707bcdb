import { join } from "node:path";
import { sweepAtExit, sweepTheDead } from "./leftovers.ts";
import { missing } from "./needs.ts";
import { runs } from "./root.ts";

/**
 * Runs one of these tests, in a folder of its own. Where something is missing for it, it says so and is skipped (with REQUIRE_SERVICES=1 it fails); what made it fail
 * is the last that it says; and nothing is left of it, however it ends.
 * @param name names its folder
 * @param more what else is missing
 * @returns the exit code
 */
export async function attempt(
  name: string,
  run: (folder: string) => Promise<void>,
  more: () => Promise<string[]> | string[] = () => [],
): Promise<number> {
  // a second one is not rare, as npm passes on what a terminal gave to both: it must not end what takes things away
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => {
      process.stderr.write("interrupted: everything is taken away\n");
      process.exit(130);
    });
  try {
    const lacks = [...(await missing()), ...(await more())];
    if (lacks.length > 0) {
      process.stderr.write(`\n*** SKIPPED: ${lacks.join("; ")}\n\n`);
      return process.env.REQUIRE_SERVICES === "1" ? 1 : 0;
    }
    sweepTheDead();
    sweepAtExit();
    await run(join(runs, `${process.pid}-${name}`));
    return 0;
  } catch (error) {
    process.stderr.write(`\n${messageOf(error)}\n`);
    // what still runs ends with this process
    process.exit(1);
  }
}

/** What went wrong first comes last: what went wrong while things were taken away follows from it. */
function messageOf(error: unknown): string {
  if (error instanceof SuppressedError) return `${messageOf(error.error)}\n\n${messageOf(error.suppressed)}`;
  return error instanceof Error ? error.message : String(error);
}
