import type { Command } from "commander";
import { z } from "zod";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";

const view = z.looseObject({ name: z.string() });
const list = z.looseObject({ users: z.array(view) });
const link = z.looseObject({ url: z.string(), expiresAt: z.string() });
type Options = ConnectionOptions & OutputOptions;
interface Granted {
  readonly role?: string[];
  readonly environment?: string[];
}

const columns = ["name", "roles", "environments", "hasPassword", "disabled", "lockedUntil", "createdAt", "createdBy"];

export function addUserCommand(program: Command): void {
  const user = program.command("user").description("People that may sign in at central. Takes an admin of every environment.");
  const add = (command: Command): Command => addOutputOption(addConnectionOptions(command));
  const path = (name: string): string => `/v1/users/${encodeURIComponent(name)}`;
  const edit = async (name: string, options: Options, change: object): Promise<void> => {
    print(view.parse(await new CentralClient(options).call("PATCH", path(name), change)), options.output, columns);
  };

  add(
    user
      .command("add")
      .description("Add a user, and print a link by which that person signs in once and sets a password.")
      .argument("<name>", "lower-case letters, digits, . _ - @")
      .requiredOption("--role <roles...>", "viewer, operator, engineer, approver, admin")
      .option("--environment <names...>", "where; default: everywhere", ["*"]),
  ).action(async (name: string, options: Options & Granted) => {
    const central = new CentralClient(options);
    await central.call("POST", "/v1/users", { name, roles: options.role, environments: options.environment });
    print(link.parse(await central.call("POST", `${path(name)}/links`, {})), options.output);
  });
  add(user.command("list").description("All users, by name.")).action(async (options: Options) => {
    const { users } = list.parse(await new CentralClient(options).call("GET", "/v1/users"));
    print(users, options.output, columns);
  });
  add(
    user
      .command("edit")
      .description("Change what a user may do; it holds from the next call on, for the user's tokens too.")
      .argument("<name>", "name of the user")
      .option("--role <roles...>", "all roles that the user has from now on")
      .option("--environment <names...>", 'all environments; "*": everywhere'),
  ).action((name: string, options: Options & Granted) =>
    edit(name, options, { roles: options.role, environments: options.environment }),
  );
  add(
    user
      .command("disable")
      .description("End a user's sessions, links and tokens, until the user is enabled.")
      .argument("<name>", "name of the user"),
  ).action((name: string, options: Options) => edit(name, options, { disabled: true }));
  add(user.command("enable").description("Let a disabled user sign in again.").argument("<name>", "name of the user")).action(
    (name: string, options: Options) => edit(name, options, { disabled: false }),
  );
  add(
    user
      .command("unlock")
      .description("Let a user try again who was locked after wrong passwords.")
      .argument("<name>", "name of the user"),
  ).action((name: string, options: Options) => edit(name, options, { unlock: true }));
  add(
    user
      .command("link")
      .description("Print a link by which a user signs in once and sets another password. It unlocks too.")
      .argument("<name>", "name of the user"),
  ).action(async (name: string, options: Options) => {
    print(link.parse(await new CentralClient(options).call("POST", `${path(name)}/links`, {})), options.output);
  });
}
