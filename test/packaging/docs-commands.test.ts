import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { expect, it } from "vitest";
import { commandLine } from "../../packaging/cli/main.ts";

const program = commandLine(() => {});
const root = fileURLToPath(new URL("../..", import.meta.url));
const docs = join(root, "packaging/docs");
const pages = [
  join(root, "README.md"),
  join(root, "packaging/container/README.md"),
  ...readdirSync(docs).flatMap((name) => (name.endsWith(".md") ? [join(docs, name)] : [])),
];

/** Command lines of a page: those between backticks, and those that begin a line, without what is said about them. */
function commandsOf(page: string): string[][] {
  const text = readFileSync(page, "utf8");
  const shown = [...text.matchAll(/`(?:npx )?plantgate ([^`\n]+)`|^ *(?:\$ |npx )?plantgate ([a-z][^\n]*)$/gm)];
  return shown.flatMap(([, inline, line]) => {
    const [command = ""] = (inline ?? line ?? "").split(/ {2,}| [#<…;|(]/);
    const words = command.split(/\s+/).filter((word) => word !== "…");
    return words.length === 0 || words[0]?.startsWith("--") ? [] : [words];
  });
}

/** The command that is meant, with those above it; what is left of the words are its arguments. */
function resolve(words: readonly string[]): { readonly commands: readonly Command[]; readonly rest: readonly string[] } {
  const commands = [program];
  for (const word of words) {
    const next = commands.at(-1)?.commands.find((each) => each.name() === word);
    if (!next) break;
    commands.push(next);
  }
  return { commands, rest: words.slice(commands.length - 1) };
}

/** What is wrong with a command that a page shows; empty: nothing. */
function judge(words: readonly string[]): string[] {
  const { commands, rest } = resolve(words);
  const command = commands.at(-1) as Command;
  const takesWords = command.registeredArguments.length > 0;
  const unknown = command === program || (!takesWords && /^[a-z-]+$/.test(rest[0] ?? "") && !rest[0]?.startsWith("-"));
  const known = commands.flatMap(({ options }) => options.map(({ long }) => long));
  const options = rest.flatMap((word) => /^--[a-z-]+/.exec(word) ?? []).filter((option) => option !== "--help");
  return [...(unknown ? ["no such command"] : []), ...options.filter((option) => !known.includes(option))];
}

it.each(pages.map((page) => [page.slice(root.length), page]))("%s: names commands and options that there are", (_, page) => {
  const wrong = commandsOf(page).flatMap((words) => judge(words).map((what) => `plantgate ${words.join(" ")}: ${what}`));
  expect(wrong).toEqual([]);
});
