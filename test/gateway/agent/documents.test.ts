import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AgentDocuments } from "../../../gateway/agent/documents.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { smallDisk } from "../../support/small-disk.ts";

function documentsFolder() {
  const folder = temporaryFolder();
  return { ...folder, file: join(folder.path, "agent.db") };
}

async function written(file: string): Promise<void> {
  const documents = await AgentDocuments.open(file);
  await documents.saveBundle(1, "one", []);
  await documents.saveState({ active: 1, desired: 1 });
  await documents.saveBundle(2, "two", [1]);
  await documents.saveState({ active: 2, desired: 2 });
}

it("starts with the state before it when a power cut tore the last line", async () => {
  using folder = documentsFolder();
  await written(folder.file);
  truncateSync(folder.file, statSync(folder.file).size - 10);
  const documents = await AgentDocuments.open(folder.file);
  expect(await documents.state()).toEqual({ active: 1, desired: 1 });
  expect(await documents.bundle(1)).toBe("one");
  expect(await documents.bundle(2)).toBe("two");
});

it("runs the newest bundle when the state cannot be read", async () => {
  using folder = documentsFolder();
  await written(folder.file);
  const lines = readFileSync(folder.file, "utf8").split("\n");
  writeFileSync(folder.file, lines.map((line) => (line.includes('"state"') ? '{"_id":"state","state":7}' : line)).join("\n"));
  const documents = await AgentDocuments.open(folder.file);
  expect(await documents.state()).toEqual({ active: 2, desired: 2, previous: 1 });
});

it("sets a file aside of which nothing can be read, and starts without a configuration", async () => {
  using folder = documentsFolder();
  await written(folder.file);
  writeFileSync(folder.file, Buffer.alloc(4096, 0xff));
  const documents = await AgentDocuments.open(folder.file);
  expect(await documents.state()).toEqual({ active: 0, desired: 0 });
  expect(readFileSync(documents.setAside as string)).toEqual(Buffer.alloc(4096, 0xff));
  await documents.saveState({ active: 3, desired: 3 });
  expect(await (await AgentDocuments.open(folder.file)).state()).toEqual({ active: 3, desired: 3 });
});

it("has nothing to set aside at its first start", async () => {
  using folder = documentsFolder();
  expect((await AgentDocuments.open(folder.file)).setAside).toBeUndefined();
  appendFileSync(folder.file, "");
  expect((await AgentDocuments.open(folder.file)).setAside).toBeUndefined();
  expect(readdirSync(folder.path)).toEqual(["agent.db"]);
});

describe.skipIf(process.getuid?.() !== 0)("on a disk that is really full", () => {
  it("keeps the state that was written after one that had no room", async () => {
    using disk = smallDisk(4);
    const file = join(disk.path, "agent.db");
    await written(file);
    const documents = await AgentDocuments.open(file);
    disk.fill(0);
    await expect(documents.saveBundle(3, "three".repeat(10_000), [2])).rejects.toThrow("ENOSPC");
    disk.free();
    await documents.saveState({ active: 5, desired: 5 });
    expect(await (await AgentDocuments.open(file)).state()).toEqual({ active: 5, desired: 5 });
  });
});
