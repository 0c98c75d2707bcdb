import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { PlantgateError, type Problem, problem } from "../../protocol/index.ts";
import { parseAddress } from "./arguments.ts";

/** A connection file: `.plantgate/cli.json` of the folder where the command runs (the demo writes one), else of the home folder. */
const connectionFile = z.strictObject({ url: z.url({ protocol: /^https?$/ }), tokenFile: z.string().min(1) });

/** How a command reaches central: flags, else a connection file. */
export interface ConnectionOptions {
  readonly central?: string;
  readonly tokenFile?: string;
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option("--central <url>", "central's address; default: from .plantgate/cli.json here or in the home folder", parseAddress)
    .option("--token-file <file>", "file with an admin token (central keeps one in its data folder as admin.token)");
}

/** A signed-in way to central's API. */
export class CentralClient {
  readonly #url: string;
  readonly #token: string;

  constructor(options: ConnectionOptions) {
    const known = options.central !== undefined && options.tokenFile !== undefined ? undefined : readConnection();
    const url = options.central ?? known?.url;
    const tokenFile = options.tokenFile ?? known?.tokenFile;
    if (url === undefined || tokenFile === undefined) {
      throw new PlantgateError(
        "USAGE",
        "no central is known here: give --central URL and --token-file FILE, or run this where the demo runs",
      );
    }
    this.#url = url;
    try {
      this.#token = readFileSync(tokenFile, "utf8").trim();
    } catch (cause) {
      throw new PlantgateError("USAGE", `the admin token cannot be read from ${tokenFile}`, { cause });
    }
    // anything else would fail as a header, with the file's content in the message: it may be a private key
    if (!/^[\w-]+$/.test(this.#token)) throw new PlantgateError("USAGE", `${tokenFile} does not hold an admin token`);
  }

  /** @throws PlantgateError PEER_UNREACHABLE; {@link ProblemError} with what central said */
  async call(method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<unknown> {
    let response: Response;
    try {
      response = await fetch(new URL(path, this.#url), {
        method,
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(30_000),
      });
    } catch (cause) {
      throw new PlantgateError("PEER_UNREACHABLE", `is central running? Nothing answers at ${this.#url}`, { cause });
    }
    const answer: unknown = await response.json().catch(() => undefined);
    if (response.ok) return answer;
    const told = problem.safeParse(answer);
    if (!told.success)
      throw new PlantgateError("PEER_REFUSED", `${this.#url} answered ${response.status}, but not as central does`);
    throw new ProblemError(told.data);
  }
}

/** Central refused; the problem says why. */
export class ProblemError extends PlantgateError {
  readonly problem: Problem;

  constructor(told: Problem) {
    super("PEER_REFUSED", told.detail === undefined ? told.title : `${told.title}: ${told.detail}`);
    this.problem = told;
  }
}

function readConnection(): z.infer<typeof connectionFile> | undefined {
  for (const folder of [process.cwd(), homedir()]) {
    const file = join(folder, ".plantgate", "cli.json");
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch {
      continue;
    }
    const parsed = connectionFile.safeParse(parseJson(text));
    if (!parsed.success) throw new PlantgateError("USAGE", `${file} is not a connection file: {"url": …, "tokenFile": …}`);
    return { url: parsed.data.url, tokenFile: resolve(dirname(file), parsed.data.tokenFile) };
  }
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
