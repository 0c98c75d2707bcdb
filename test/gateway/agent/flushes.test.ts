import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { deedsOf } from "../../support/deeds.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { requireService } from "../../support/services.ts";

const strace = await requireService("strace");
const script = fileURLToPath(new URL("../../support/scripts/agent-documents.ts", import.meta.url));

it.skipIf(!strace)("says that something is noted only when the machine was told to flush it, and a new file's name too", () => {
  using folder = temporaryFolder();
  const deeds = deedsOf(strace as string, [process.execPath, script, join(folder.path, "agent.db")], folder.path);
  const spans: string[][] = [[]];
  for (const deed of deeds) {
    spans.at(-1)?.push(deed);
    if (deed.startsWith("noted")) spans.push([]);
  }
  const noted = spans.filter((span) => span.at(-1)?.startsWith("noted"));
  expect(noted.length).toBe(12);
  const renamed = "rename agent.db.new agent.db";
  for (const span of noted) {
    const last = (deed: string): number => span.lastIndexOf(deed);
    expect(last("write agent.db"), span.join(", ")).toBeGreaterThanOrEqual(0);
    expect(last("flush agent.db"), span.join(", ")).toBeGreaterThan(last("write agent.db"));
    if (!span.includes(renamed)) continue;
    expect(last("flush agent.db.new")).toBeGreaterThan(last("write agent.db.new"));
    expect(last(renamed)).toBeGreaterThan(last("flush agent.db.new"));
    expect(last("flush .")).toBeGreaterThan(last(renamed));
  }
  expect(noted[0]).toContain("flush .");
  expect(deeds).toContain(renamed);
});
