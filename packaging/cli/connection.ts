import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { PlantgateError, type Problem, problem } from "../../protocol/index.ts";
import { parseAddress } from "./arguments.ts";

/**
 * A connection file: `.plantgate/cli.json` of the folder where the command runs (the demo writes one), else of the home folder (plantgate login
 * writes one, with a token).
 */
const connectionFile = z
  .strictObject({
    url: z.url({ protocol: /^https?$/ }),
    tokenFile: z.string().min(1).optional(),
    token: z.string().min(1).optional(),
  })
  .refine(({ token, tokenFile }) => (token === undefined) !== (tokenFile === undefined));
type Connection = z.infer<typeof connectionFile>;

/** How a command reaches central: flags, else a connection file. */
export interface ConnectionOptions {
  readonly central?: string;
  readonly tokenFile?: string;
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option("--central <url>", "central's address; default: from .plantgate/cli.json here or in the home folder", parseAddress)
    .option(
      "--token-file <file>",
      "file with an API token, or with the admin token that central keeps in its data folder as admin.token",
    );
}

/** A signed-in way to central's API. */
export class CentralClient {
  readonly #url: string;
  readonly #token: string;

  constructor(options: ConnectionOptions) {
    const known = options.central !== undefined && options.tokenFile !== undefined ? undefined : readConnection();
    const url = options.central ?? known?.url;
    if (url === undefined || (options.tokenFile === undefined && known === undefined)) {
      throw new PlantgateError(
        "USAGE",
        "no central is known here: sign in with plantgate login --central URL, give --central URL and --token-file FILE, or run this where the demo runs",
      );
    }
    // a token is for the central that it was made for, and shown to no other
    if (options.tokenFile === undefined && known && new URL(url).origin !== new URL(known.url).origin)
      throw new PlantgateError("USAGE", `the token known here is for ${known.url}, not for ${url}: give --token-file FILE`);
    this.#url = url;
    this.#token = tokenOf(options.tokenFile === undefined && known ? known : { tokenFile: options.tokenFile });
  }

  /** Central's address, as it is reached from here. */
  get origin(): string {
    return new URL(this.#url).origin;
  }

  /** @throws PlantgateError PEER_UNREACHABLE; {@link ProblemError} with what central said */
  async call(method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<unknown> {
    const { answer } = await callCentral(this.#url, { method, path, headers: { authorization: `Bearer ${this.#token}` }, body });
    return answer;
  }

  /** Sends bytes as they are. @throws as {@link call} does */
  async send(method: "PUT", path: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await callCentral(this.#url, { method, path, headers: { authorization: `Bearer ${this.#token}` }, bytes });
  }
}

/** One call: with a body of JSON, or with bytes as they are. @throws PlantgateError PEER_UNREACHABLE; {@link ProblemError} with what central said */
export async function callCentral(
  url: string,
  call: {
    readonly method: string;
    readonly path: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly bytes?: Uint8Array<ArrayBuffer>;
  },
): Promise<{ readonly answer: unknown; readonly headers: Headers }> {
  const { bytes } = call;
  const type = bytes ? "application/octet-stream" : call.body === undefined ? undefined : "application/json";
  let response: Response;
  try {
    response = await fetch(new URL(call.path, url), {
      method: call.method,
      headers: { ...call.headers, ...(type === undefined ? {} : { "content-type": type }) },
      body: bytes ?? (call.body === undefined ? undefined : JSON.stringify(call.body)),
      // a redirect would carry the token, or a password, wherever it points
      redirect: "manual",
      signal: AbortSignal.timeout(bytes ? 120_000 : 30_000),
    });
  } catch (cause) {
    throw new PlantgateError("PEER_UNREACHABLE", `is central running? Nothing answers at ${url}`, { cause });
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return { answer, headers: response.headers };
  const told = problem.safeParse(answer);
  if (!told.success) throw new PlantgateError("PEER_REFUSED", `${url} answered ${response.status}, but not as central does`);
  throw new ProblemError(told.data);
}

/** Writes the connection file of a folder, readable by its user alone. @returns where it is */
export function writeConnection(folder: string, connection: { readonly url: string; readonly token: string }): string {
  const file = join(folder, ".plantgate", "cli.json");
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const staged = `${file}.${process.pid}.new`;
  writeFileSync(staged, `${JSON.stringify(connection)}\n`, { mode: 0o600, flag: "wx" });
  renameSync(staged, file);
  return file;
}

function tokenOf({
  token,
  tokenFile = "",
}: {
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
}): string {
  if (token !== undefined) return token;
  let text: string;
  try {
    text = readFileSync(tokenFile, "utf8").trim();
  } catch (cause) {
    throw new PlantgateError("USAGE", `the token cannot be read from ${tokenFile}`, { cause });
  }
  // anything else would fail as a header, with the file's content in the message: it may be a private key
  if (!/^[\w-]+$/.test(text)) throw new PlantgateError("USAGE", `${tokenFile} does not hold a token`);
  return text;
}

/** Central refused; the problem says why. */
export class ProblemError extends PlantgateError {
  readonly problem: Problem;

  constructor(told: Problem) {
    super("PEER_REFUSED", told.detail === undefined ? told.title : `${told.title}: ${told.detail}`);
    this.problem = told;
  }
}

/** The connection file that commands of this folder use. */
export function readConnection(): Connection | undefined {
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
    const { tokenFile } = parsed.data;
    return { ...parsed.data, ...(tokenFile === undefined ? {} : { tokenFile: resolve(dirname(file), tokenFile) }) };
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
