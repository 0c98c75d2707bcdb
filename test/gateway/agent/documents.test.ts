import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AgentDocuments, type AgentState } from "../../../gateway/agent/documents.ts";
import { digestOf } from "../../../gateway/agent/signed-bundle.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { smallDisk } from "../../support/small-disk.ts";

function documentsFolder() {
  const folder = temporaryFolder();
  return { ...folder, file: join(folder.path, "agent.db") };
}

const jws = (revision: number): string => `head.${Buffer.from(`{"revision":${revision}}`).toString("base64url")}.signature`;
const stored = (revision: number) => ({ revision, digest: digestOf(jws(revision)) });
/** `good` does well, after `before`. */
const good = (good: number, before?: number): AgentState => ({
  desired: stored(good),
  good: stored(good),
  ...(before === undefined ? {} : { before: stored(before) }),
});

async function written(file: string): Promise<void> {
  const documents = await AgentDocuments.open(file);
  await documents.saveBundle(stored(1), jws(1));
  await documents.saveState(good(1));
  await documents.saveBundle(stored(2), jws(2));
  await documents.saveState(good(2, 1));
}

it("starts with the state before it when a power cut tore the last line", async () => {
  using folder = documentsFolder();
  await written(folder.file);
  truncateSync(folder.file, statSync(folder.file).size - 10);
  const documents = await AgentDocuments.open(folder.file);
  expect(await documents.state()).toEqual(good(1));
  expect(await documents.bundle(stored(1))).toBe(jws(1));
  expect(await documents.bundle(stored(2))).toBe(jws(2));
  // and what is written behind the torn line is a line of its own
  await documents.saveState(good(2, 1));
  expect(await (await AgentDocuments.open(folder.file)).state()).toEqual(good(2, 1));
});

it("tries the newest bundle when no state can be read, and can go back to the one before", async () => {
  using folder = documentsFolder();
  await written(folder.file);
  const lines = readFileSync(folder.file, "utf8").split("\n");
  writeFileSync(folder.file, lines.map((line) => (line.includes('"state"') ? '{"_id":"state","state":7}' : line)).join("\n"));
  const documents = await AgentDocuments.open(folder.file);
  expect(await documents.state()).toMatchObject({ desired: stored(2), trial: stored(2), good: stored(1) });
});

it("reads what earlier versions wrote, whose bundles had a number alone", async () => {
  using folder = documentsFolder();
  const lines = [
    { _id: "bundle/1", jws: jws(1) },
    { _id: "bundle/2", jws: jws(2) },
    { $$deleted: true, _id: "bundle/3" },
    { _id: "state", state: { active: 2, desired: 2, previous: 1, fenced: "a clone" } },
  ];
  writeFileSync(folder.file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const documents = await AgentDocuments.open(folder.file);
  expect(await documents.state()).toEqual({ ...good(2, 1), fenced: "a clone" });
  expect(await documents.bundle(stored(2))).toBe(jws(2));
});

it("does not take a bundle for the one that ran which was only kept, before anything ran", async () => {
  using folder = documentsFolder();
  await (await AgentDocuments.open(folder.file)).saveBundle(stored(1), jws(1));
  expect(await (await AgentDocuments.open(folder.file)).state()).toEqual({ desired: { revision: 0 } });
});

it("keeps the bundles that the state names, and lets its file not grow with the others", async () => {
  using folder = documentsFolder();
  const documents = await AgentDocuments.open(folder.file);
  const large = (revision: number): string => `${jws(revision)}${"=".repeat(500_000)}`;
  for (let revision = 1; revision <= 20; revision++) {
    await documents.saveBundle(stored(revision), large(revision));
    await documents.saveState(good(revision, revision - 1));
  }
  expect(statSync(folder.file).size).toBeLessThan(4_000_000);
  for (const opened of [documents, await AgentDocuments.open(folder.file)]) {
    expect(await opened.bundle(stored(20))).toBe(large(20));
    expect(await opened.bundle(stored(19))).toBe(large(19));
    expect(await opened.bundle(stored(5))).toBeUndefined();
  }
});

it("sets a file aside of which nothing can be read, and starts without a configuration", async () => {
  using folder = documentsFolder();
  await written(folder.file);
  writeFileSync(folder.file, Buffer.alloc(4096, 0xff));
  const documents = await AgentDocuments.open(folder.file);
  expect(await documents.state()).toEqual({ desired: { revision: 0 } });
  expect(readFileSync(documents.setAside as string)).toEqual(Buffer.alloc(4096, 0xff));
  await documents.saveState(good(3));
  expect(await (await AgentDocuments.open(folder.file)).state()).toEqual(good(3));
});

it("has nothing to set aside at its first start", async () => {
  using folder = documentsFolder();
  expect((await AgentDocuments.open(folder.file)).setAside).toBeUndefined();
  appendFileSync(folder.file, "");
  expect((await AgentDocuments.open(folder.file)).setAside).toBeUndefined();
  expect(readdirSync(folder.path)).toEqual(["agent.db"]);
});

describe.skipIf(process.getuid?.() !== 0)("on a disk that is really full", () => {
  it("starts with what was written before, and writes again once there is room", async () => {
    using disk = smallDisk(4);
    const file = join(disk.path, "agent.db");
    await written(file);
    disk.fill(0);
    const documents = await AgentDocuments.open(file);
    expect([await documents.state(), await documents.bundle(stored(2))]).toEqual([good(2, 1), jws(2)]);
    await expect(documents.saveBundle(stored(3), "three".repeat(10_000))).rejects.toThrow("ENOSPC");
    disk.free();
    await documents.saveState({ ...good(2, 1), desired: stored(4) });
    expect(await documents.bundle(stored(2))).toBe(jws(2));
    expect(await (await AgentDocuments.open(file)).state()).toEqual({ ...good(2, 1), desired: stored(4) });
  });

  it("keeps the state that was written after one that had no room", async () => {
    using disk = smallDisk(4);
    const file = join(disk.path, "agent.db");
    await written(file);
    const documents = await AgentDocuments.open(file);
    disk.fill(0);
    await expect(documents.saveBundle(stored(3), "three".repeat(10_000))).rejects.toThrow("ENOSPC");
    expect(await documents.bundle(stored(3))).toBeUndefined();
    disk.free();
    await documents.saveState(good(5));
    expect(await (await AgentDocuments.open(file)).state()).toEqual(good(5));
  });
});
