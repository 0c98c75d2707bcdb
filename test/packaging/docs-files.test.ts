import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { openSystem } from "../support/system.ts";

const page = readFileSync(new URL("../../packaging/docs/operations.md", import.meta.url), "utf8");

/** Names in a folder that a table of the page explains; `-wal` stands for the name before it with that ending. */
function explained(heading: string): Set<string> {
  const begin = page.indexOf(`\n## ${heading}\n`);
  const table = page.slice(begin, page.indexOf("\n## ", begin + 1));
  const names = [...table.matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell = ""]) => {
    const words = [...cell.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word);
    return words.map((word) => (word.startsWith("-") ? `${words[0]}${word}` : (word.split("/")[0] ?? "")));
  });
  return new Set(names);
}

it("the guide explains every file of a gateway's and of central's data folder", async () => {
  await using system = openSystem();
  const central = await system.central();
  const gateway = await system.gateway("lyon", central);
  await gateway.process.logged("link.session.began");
  const unexplained = (folder: string, heading: string): string[] => {
    // what is there while a file is written comes and goes
    const names = readdirSync(folder).map((name) => name.replace(/-journal$|~$|\.(new|part)$/, ""));
    expect(names.length).toBeGreaterThan(5);
    return names.filter((name) => !explained(heading).has(name));
  };
  // the helper's own
  expect(unexplained(gateway.dataDir, "The gateway's data folder")).toEqual(["central.pub"]);
  expect(unexplained(central.dataDir, "Central's data folder")).toEqual([]);
});
