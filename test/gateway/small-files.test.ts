import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { deedsOf } from "../support/deeds.ts";
import { temporaryFolder } from "../support/folder.ts";
import { requireService } from "../support/services.ts";

const strace = await requireService("strace");
const script = fileURLToPath(new URL("../support/scripts/small-files.ts", import.meta.url));

/** What was done before each thing that the script says, by that. */
function spansOf(deeds: readonly string[], said: ReadonlySet<string>): Map<string, string[]> {
  const spans = new Map<string, string[]>();
  let span: string[] = [];
  for (const deed of deeds) {
    if (!said.has(deed)) span.push(deed);
    else {
      spans.set(deed, span);
      span = [];
    }
  }
  return spans;
}

const replaced = (name: string): string[] => [`write ${name}.new`, `flush ${name}.new`, `rename ${name}.new ${name}`, "flush ."];
const inPlace = ["write fenced", "flush fenced"];
const expected: Record<string, string[]> = {
  "gateway's": replaced("gateway"),
  "central's": replaced("central"),
  "mark made": replaced("fenced"),
  fenced: inPlace,
  lifted: inPlace,
  noted: replaced("trial.json"),
  pointed: ["rename current.new current", "flush ."],
  removed: ["remove trial.json", "flush ."],
  package: replaced("package.deb"),
  tree: ["flush part"],
  renamed: ["rename part whole", "flush ."],
};

describe.skipIf(!strace)("a small file that something hangs on", () => {
  using folder = temporaryFolder();
  const deeds = strace ? deedsOf(strace, [process.execPath, script, folder.path], folder.path) : [];
  const spans = spansOf(deeds, new Set(Object.keys(expected)));

  it.each(Object.keys(expected))("is flushed, and its name after it, before anything follows: %s", (said) => {
    expect(spans.get(said)).toEqual(expected[said]);
  });
});
