import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import type { Command } from "commander";
import { z } from "zod";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { addSignInOptions, makeToken, parseDays, type SignInOptions } from "./login.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";

const view = z.looseObject({ id: z.string() });
const list = z.looseObject({ tokens: z.array(view) });
const columns = ["id", "user", "purpose", "roles", "environments", "expiresAt", "revokedAt", "lastUsedAt"];

export function addTokenCommand(program: Command): void {
  const token = program.command("token").description("API tokens: each acts for its user, with no more than that user may.");
  addOutputOption(
    addSignInOptions(
      token
        .command("create")
        .description("Make a token for a tool. Asks for your password: a token makes no tokens.")
        .requiredOption("--purpose <text>", "what it is for")
        .option("--role <roles...>", "default: all that you have")
        .option("--environment <names...>", "default: all that you have")
        .option("--days <number>", "how long it lives", parseDays, 30)
        .option("--out <file>", "write the token there, readable by you alone, instead of printing it"),
    ),
  ).action(
    async (
      options: SignInOptions &
        OutputOptions & { purpose: string; role?: string[]; environment?: string[]; days: number; out?: string },
    ) => {
      const { purpose, days, role: roles, environment: environments, out } = options;
      // before there is a token that could not be kept
      const file = out === undefined ? undefined : openSync(out, "wx", 0o600);
      try {
        const { token: text, ...made } = await makeToken(options, { purpose, days, roles, environments });
        if (file === undefined) return print({ ...made, token: text }, options.output);
        writeSync(file, `${text}\n`);
        print(made, options.output);
      } catch (error) {
        if (out !== undefined) rmSync(out, { force: true });
        throw error;
      } finally {
        if (file !== undefined) closeSync(file);
      }
    },
  );
  addOutputOption(addConnectionOptions(token.command("list").description("Your tokens; of an admin, everybody's."))).action(
    async (options: ConnectionOptions & OutputOptions) => {
      const { tokens } = list.parse(await new CentralClient(options).call("GET", "/v1/tokens"));
      print(tokens, options.output, columns);
    },
  );
  addOutputOption(
    addConnectionOptions(
      token
        .command("revoke")
        .description("Revoke a token: it is refused from the next call on.")
        .argument("<id>", "as plantgate token list shows it"),
    ),
  ).action(async (id: string, options: ConnectionOptions & OutputOptions) => {
    const answer = await new CentralClient(options).call("DELETE", `/v1/tokens/${encodeURIComponent(id)}`);
    print(view.parse(answer), options.output, columns);
  });
}
