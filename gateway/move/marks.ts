import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { PlantgateError, parseJson } from "../../protocol/index.ts";

/** What a move leaves in a data folder; none of it moves itself. */
export const moveFiles = {
  /** The folder's gateway moved away: it does not run here. */
  out: "moved-out",
  /** The folder came from other hardware, and what of its keys was left there. Stays. */
  in: "moved-in.json",
  /** What is being moved in, until all of it is in place. */
  staging: "moving-in",
  /** The key that a file for this folder is sealed to. */
  request: "move-request.json",
} as const;

const movedOut = z.object({
  id: z.string(),
  site: z.string(),
  at: z.string(),
  file: z.string(),
  /** The file is whole, and flushed: it may be in use. */
  written: z.boolean(),
});
export type MovedOut = z.infer<typeof movedOut>;

const movedIn = z.object({ id: z.string(), site: z.string(), at: z.string(), leftBehind: z.array(z.string()) });
export type MovedIn = z.infer<typeof movedIn>;

/** @returns undefined: it was not moved out; `unreadable`: it was, and nobody can tell where to */
export function readMovedOut(dataDir: string): MovedOut | "unreadable" | undefined {
  return read(join(dataDir, moveFiles.out), movedOut);
}

/** @throws PlantgateError CONFIG_INVALID: without it the gateway would keep a key that its copy has as well */
export function readMovedIn(dataDir: string): MovedIn | undefined {
  const file = join(dataDir, moveFiles.in);
  const found = read(file, movedIn);
  if (found !== "unreadable") return found;
  const advice = "restore it, or delete it and have the gateway change its key at once (plantgate site rotate-key)";
  throw new PlantgateError("CONFIG_INVALID", `${file} cannot be read; ${advice}`);
}

/** @throws PlantgateError FOLDER_MOVED for a folder that was moved out, or into which a move is not finished */
export function requireWhole(dataDir: string): void {
  const out = readMovedOut(dataDir);
  if (out !== undefined) {
    const said = out === "unreadable" ? "" : ` of site "${out.site}" on ${out.at} to ${out.file}`;
    throw new PlantgateError(
      "FOLDER_MOVED",
      `the gateway in ${dataDir} was moved out${said}, and does not run here any more: it runs where "plantgate gateway move-in" took it in. ` +
        `Where that never happened: plantgate gateway move-out --undo --data ${dataDir}`,
    );
  }
  if (existsSync(join(dataDir, moveFiles.staging)))
    throw new PlantgateError(
      "FOLDER_MOVED",
      `a gateway is being moved into ${dataDir}, and not all of it is in place: run plantgate gateway move-in FILE --data ${dataDir} again`,
    );
}

function read<Shape>(file: string, shape: z.ZodType<Shape>): Shape | "unreadable" | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return shape.safeParse(parseJson(readFileSync(file, "utf8"))).data ?? "unreadable";
  } catch {
    return "unreadable";
  }
}
