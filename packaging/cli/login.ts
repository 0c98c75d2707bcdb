import { homedir, hostname } from "node:os";
import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { parseAddress } from "./arguments.ts";
import { callCentral, readConnection, writeConnection } from "./connection.ts";
import { ask, askHidden } from "./prompt.ts";

const signedIn = z.looseObject({
  user: z.string(),
  roles: z.array(z.string()),
  environments: z.array(z.string()),
  csrf: z.string(),
});
const madeToken = z.looseObject({ id: z.string(), token: z.string(), expiresAt: z.string() });

export interface TokenRequest {
  readonly purpose: string;
  /** Absent: all that the user has. */
  readonly roles?: readonly string[] | undefined;
  readonly environments?: readonly string[] | undefined;
  readonly days: number;
}
export interface SignInOptions {
  readonly central?: string;
  readonly user?: string;
}

export function addLoginCommand(program: Command): void {
  addSignInOptions(
    program
      .command("login")
      .description("Sign in: asks for the password, makes a token, and keeps it where the other commands find it.")
      .option("--days <number>", "how long the token lives", parseDays, 30)
      .option("--here", "keep it in .plantgate of this folder instead of the home folder")
      .addHelpText(
        "after",
        "\nWithout a terminal the password is the first line of stdin, behind the user's name where --user is not given.",
      ),
  ).action(async (options: SignInOptions & { days: number; here?: boolean }) => {
    const purpose = `plantgate login on ${hostname()}`;
    const { url, user, token, expiresAt } = await makeToken(options, { purpose, days: options.days });
    const file = writeConnection(options.here ? process.cwd() : homedir(), { url, token });
    process.stderr.write(`Signed in at ${url} as ${user} until ${expiresAt}: the token is in ${file}.\n`);
    const used = readConnection();
    if (used?.token !== token)
      process.stderr.write("Commands in this folder use the .plantgate/cli.json that lies here instead.\n");
  });
}

export function addSignInOptions(command: Command): Command {
  return command
    .option("--central <url>", "central's address; default: from .plantgate/cli.json here or in the home folder", parseAddress)
    .option("--user <name>", "who signs in; default: it asks");
}

/** Signs a person in by password for as long as it takes to make a token. @throws PlantgateError USAGE; as `callCentral` */
export async function makeToken(
  options: SignInOptions,
  request: TokenRequest,
): Promise<{
  readonly url: string;
  readonly user: string;
  readonly id: string;
  readonly token: string;
  readonly expiresAt: string;
}> {
  const url = options.central ?? readConnection()?.url;
  if (url === undefined) throw new PlantgateError("USAGE", "no central is known here: give --central URL");
  if (!isPrivate(url)) throw new PlantgateError("USAGE", `${url} is not https: a password would be readable on its way`);
  const user = options.user ?? (await ask("User: "));
  const password = await askHidden(`Password of ${user}: `);
  const begun = await callCentral(url, { method: "POST", path: "/v1/session", body: { user, password } });
  const session = signedIn.parse(begun.answer);
  const cookie =
    begun.headers
      .getSetCookie()
      .find((one) => one.startsWith("plantgate-session="))
      ?.split(";")[0] ?? "";
  const headers = { cookie, "plantgate-csrf": session.csrf };
  try {
    const body = {
      purpose: request.purpose,
      roles: request.roles ?? session.roles,
      environments: request.environments ?? session.environments,
      lifeSeconds: request.days * 86_400,
    };
    const { answer } = await callCentral(url, { method: "POST", path: "/v1/tokens", headers, body });
    const { id, token, expiresAt } = madeToken.parse(answer);
    return { url, user: session.user, id, token, expiresAt };
  } finally {
    await callCentral(url, { method: "DELETE", path: "/v1/session", headers }).catch(() => {});
  }
}

export function parseDays(value: string): number {
  const days = Number(value);
  if (!Number.isInteger(days) || days < 1 || days > 366) throw new InvalidArgumentError("Give whole days from 1 to 366.");
  return days;
}

function isPrivate(url: string): boolean {
  const { protocol, hostname: host } = new URL(url);
  return protocol === "https:" || host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
