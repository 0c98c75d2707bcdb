import { execFileSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { commandLine } from "../../../packaging/cli/main.ts";
import { type Ended, plantgate, plantgateHere } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";

const parse = (args: readonly string[]): Promise<Ended> => plantgateHere(args, { cwd: tmpdir() });

describe("plantgate --help", () => {
  it("names every command", async () => {
    using folder = temporaryFolder();
    const { code, out, err } = await plantgate(["--help"], { cwd: folder.path });
    for (const command of [
      "gateway",
      "central",
      "demo",
      "key",
      "site",
      "push",
      "queue",
      "validate",
      "login",
      "user",
      "token",
      "audit",
    ])
      expect(out).toMatch(new RegExp(`^ {2}${command}\\b`, "m"));
    expect({ code, err }).toEqual({ code: 0, err: "" });
  });

  it.each([
    ["gateway", ["--site", "--data", "--central", "--central-key", "--host", "--http-port", "--log-level"]],
    ["central", ["--data", "--host", "--port", "--recovery-point", "--lease", "--max-backlog", "--console", "--log-level"]],
    ["demo", ["--outage", "--data", "--keep", "--port"]],
    ["key", ["--data", "--fingerprint"]],
    ["site add", ["<name>", "--public-key", "--out", "--central", "--token-file"]],
    ["site revoke", ["<name>", "--central", "--token-file"]],
    ["push", ["<site> <files...>", "--central", "--token-file"]],
    ["queue depth", ["--data", "--json"]],
    ["queue list", ["[what]", "--data", "--limit", "--json"]],
    ["queue show", ["<what> [sequence]", "--data", "--json"]],
    ["login", ["--central", "--user", "--days", "--here"]],
    ["user add", ["<name>", "--role", "--environment", "--output", "--central", "--token-file"]],
    ["user list", ["--output"]],
    ["token create", ["--purpose", "--role", "--environment", "--days", "--out", "--output"]],
    ["token revoke", ["<id>"]],
    ["audit list", ["--actor", "--action", "--subject", "--limit", "--output"]],
    ["audit verify", ["--head", "--at", "--output"]],
    ["validate", ["<files...>"]],
  ])("says what %s takes", async (command, takes) => {
    const { code, out, err } = await parse([...command.split(" "), "--help"]);
    for (const word of takes) expect(out).toContain(word);
    expect({ code, err }).toEqual({ code: 0, err: "" });
  });
});

describe("every command", () => {
  const under = (command: Command): Command[] => [command, ...command.commands.flatMap(under)];

  it("says what it is, and so does each of its arguments and options", () => {
    const silent = under(commandLine(() => {})).flatMap((command) => {
      const { options, registeredArguments } = command;
      const own = registeredArguments
        .map((each) => ({ name: `<${each.name()}>`, says: each.description }))
        .concat(options.map((each) => ({ name: each.flags, says: each.description })));
      const parts = own.filter(({ says }) => !says).map(({ name }) => `${command.name()} ${name}`);
      return command.description() ? parts : [command.name(), ...parts];
    });
    expect(silent).toEqual([]);
  });

  it("says a default as a person would: a duration with its unit", () => {
    const bare = under(commandLine(() => {})).flatMap(({ options }) =>
      options.filter(
        ({ flags, defaultValue, defaultValueDescription }) =>
          flags.includes("<duration>") && typeof defaultValue === "number" && defaultValueDescription === undefined,
      ),
    );
    expect(bare.map(({ flags }) => flags)).toEqual([]);
  });
});

describe("a wrong command line", () => {
  it.each([
    ["an unknown command", ["puhs"], "unknown command 'puhs'"],
    ["an unknown option", ["push", "lyon", "a.yaml", "--nope"], "unknown option '--nope'"],
    ["a missing argument", ["push"], "missing required argument 'site'"],
    ["a missing option", ["key"], "required option '--data <folder>' not specified"],
    ["a port that is none", ["central", "--data", "x", "--port", "http"], "Give a port from 0 to 65535"],
    [
      "a recovery point that is none",
      ["central", "--data", "x", "--recovery-point", "1h"],
      "Give whole seconds from 0 to 604800",
    ],
    ["a lease that is too short", ["central", "--data", "x", "--lease", "1"], "Give whole seconds from 2 to 3600"],
    ["a backlog that is too small", ["central", "--data", "x", "--max-backlog", "5000"], "Give a whole number of 10000 or more"],
    ["a backlog that is none", ["central", "--data", "x", "--max-backlog", ""], "Give a whole number of 10000 or more"],
    ["an address that is none", ["site", "revoke", "lyon", "--central", "localhost:8420"], "Give an address such as https://"],
    [
      "a place that is none",
      ["queue", "list", "orders", "--data", "x"],
      "Give one of transaction, bulk, telemetry, inbound, dead",
    ],
    ["a limit that is none", ["queue", "list", "--limit", "0", "--data", "x"], "Give a whole number of 1 or more"],
  ])("with %s ends with 2, says what is wrong and where help is", async (_, args, message) => {
    const { code, out, err } = await parse(args);
    expect(err).toContain(message);
    expect(err).toContain("--help");
    expect({ code, out }).toEqual({ code: 2, out: "" });
  });

  it("ends the process with 2 and what is wrong on stderr", async () => {
    using folder = temporaryFolder();
    const { code, out, err } = await plantgate(["puhs"], { cwd: folder.path });
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("unknown command 'puhs'");
  });
});

describe("plantgate key", () => {
  it("makes a key pair once, prints the same public key from then on, and lets nobody else read the private one", async () => {
    using folder = temporaryFolder();
    const data = join(folder.path, "gateway");
    const first = await plantgate(["key", "--data", data], { cwd: folder.path });
    const second = await plantgate(["key", "--data", data], { cwd: folder.path });
    expect(first).toEqual({
      code: 0,
      err: "",
      out: expect.stringMatching(/^-----BEGIN PUBLIC KEY-----\n.+\n-----END PUBLIC KEY-----\n$/),
    });
    expect(second).toEqual(first);
    expect(statSync(join(data, "identity", "gateway.key")).mode & 0o777).toBe(0o600);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(data, "identity", "gateway.key"), "utf8")).toContain("PRIVATE KEY");
  });

  it("prints the fingerprint that two people compare", async () => {
    using folder = temporaryFolder();
    const { code, out } = await plantgate(["key", "--data", "gateway", "--fingerprint"], { cwd: folder.path });
    expect(code).toBe(0);
    expect(out).toMatch(/^[0-9a-f]{64}\n$/);
  });

  it("says in one sentence that its folder is a file", async () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "file"), "");
    const { code, err } = await plantgate(["key", "--data", "file"], { cwd: folder.path });
    expect(code).toBe(1);
    expect(err).toBe("plantgate: file is there already\n");
  });
});

/** A Node.js on PATH that is too old for Plantgate, as many machines have one. */
const olderNode = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((folder) => !folder.includes("node_modules"))
  .map((folder) => join(folder, "node"))
  .find((node) => {
    try {
      return Number(execFileSync(node, ["-p", "process.versions.node.split('.')[0]"], { encoding: "utf8" })) < 26;
    } catch {
      return false;
    }
  });
it.skipIf(!olderNode)(
  `says under an older Node.js which one is needed and how to get it${olderNode ? "" : " (skipped: no older Node.js on PATH)"}`,
  async () => {
    using folder = temporaryFolder();
    const { code, out, err } = await plantgate(["--help"], { cwd: folder.path, node: olderNode as string });
    expect(err).toMatch(/^plantgate: Node\.js 26 is needed, this is \d+\.\d+\.\d+; .*npx plantgate.*\n$/);
    expect({ code, out }).toEqual({ code: 1, out: "" });
  },
);
