import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { alarmKinds } from "../../central/alert/alarms.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const docs = join(root, "packaging/docs");
const pages = [join(root, "README.md"), ...readdirSync(docs).flatMap((name) => (name.endsWith(".md") ? [join(docs, name)] : []))];

/** As the usual renderers name a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

/** Sources of gateway and central. */
function sources(): string[] {
  return ["gateway", "central"].flatMap((folder) =>
    globSync(join(root, folder, "**/*.ts")).map((file) => readFileSync(file, "utf8")),
  );
}

/** What stands behind the bracket that `source` was cut behind, up to where it is closed. */
function inBrackets(source: string): string {
  let depth = 1;
  const end = [...source].findIndex((char) => {
    if ("([{".includes(char)) depth += 1;
    if (")]}".includes(char)) depth -= 1;
    return depth === 0;
  });
  return source.slice(0, end);
}

const eventName = /"([a-z]+(?:-[a-z]+)*(?:\.[a-zA-Z]+)+)"/g;

/** Events of log lines at level 50: a person must act. */
function eventsForPeople(): Set<string> {
  const events = sources().flatMap((source) => {
    const calls = [...source.matchAll(/\blog(?:\.error|\[[^\]]*"error"[^\]]*\])\(|\bfields = \{/g)];
    return calls.flatMap(({ 0: call, index }) => {
      const said = inBrackets(source.slice(index + call.length, index + call.length + 1000));
      const at = said.indexOf("event:");
      return at < 0 ? [] : [...(said.slice(at).split(/[,}]/)[0] ?? "").matchAll(eventName)].map(([, name = ""]) => name);
    });
  });
  return new Set(events);
}

/** Of a page what stands under a heading. */
function section(page: string, heading: string): string {
  const text = readFileSync(join(docs, page), "utf8");
  const begin = text.indexOf(`\n## ${heading}\n`);
  if (begin < 0) throw new Error(`${page} has no "${heading}"`);
  return text.slice(begin, text.indexOf("\n## ", begin + 1));
}

describe("the guide for operators", () => {
  it("says of every log line that asks for a person what to do", () => {
    const rows = section("operations.md", "Log lines that ask for a person").matchAll(/^\| (`.+?`) \|/gm);
    const named = [...rows].flatMap(([, cell = ""]) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
    expect(named.toSorted()).toEqual([...eventsForPeople(), "alarm.KIND.raised"].toSorted());
  });

  it("shows log lines as they are written: event and sentence stand in the sources", () => {
    const written = sources().join("\n");
    const shown = pages.flatMap((page) => [...readFileSync(page, "utf8").matchAll(/"event":"([^"]+)".*?"msg":"([^"]+)"/g)]);
    expect(shown.length).toBeGreaterThan(5);
    const strange = shown.flatMap(([, ...words]) => words.filter((word) => !written.includes(`"${word}"`)));
    expect(strange).toEqual([]);
  });

  it("says of every alarm what to do", () => {
    const named = [...section("operations.md", "Alarms").matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name);
    expect(named.toSorted()).toEqual(Object.keys(alarmKinds).toSorted());
  });
});

describe("links between the pages", () => {
  it.each(pages.map((page) => [page.slice(root.length), page]))("%s: lead somewhere", (_, page) => {
    const text = readFileSync(page, "utf8");
    const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? page : resolve(dirname(page), path);
        if (!existsSync(file)) return true;
        if (anchor === undefined) return false;
        const headings = [...readFileSync(file, "utf8").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => anchorOf(heading));
        return !headings.includes(anchor);
      });
    expect(broken).toEqual([]);
  });
});
