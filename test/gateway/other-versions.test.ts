import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { Keystore } from "../../gateway/queue/keystore.ts";
import { FlushMark, readMark } from "../../gateway/queue/mark.ts";
import { RehearsalStore, rehearsalFile } from "../../gateway/rehearsal/store.ts";
import { SecretStore } from "../../gateway/secret/secret-store.ts";
import { openLogger } from "../../gateway/telemetry/logger.ts";
import { systemClock } from "../../protocol/index.ts";
import { temporaryFolder } from "../support/folder.ts";

/** What the files beside the queue are to a program that is older than what wrote them (ADR 0114). */
describe("a file that a newer version wrote", () => {
  it("of recorded inputs is made anew: it holds nothing that is not recorded again", () => {
    using folder = temporaryFolder();
    const file = rehearsalFile(folder.path);
    RehearsalStore.open(file).close();
    const db = new DatabaseSync(file);
    db.exec("DROP TABLE inputs; CREATE TABLE inputs (moon TEXT); PRAGMA user_version = 2");
    db.close();
    const store = RehearsalStore.open(file);
    expect([...store.newest(10)]).toEqual([]);
    store.close();
  });

  it("of sealed secrets is central's own, and is read with whatever more it says", async () => {
    using folder = temporaryFolder();
    const set = { kind: "SecretSet", site: "lyon", set: "a".repeat(64), secrets: {}, missing: [], moons: ["io"] };
    writeFileSync(join(folder.path, "secrets.sealed"), "a signed set");
    const secrets = await SecretStore.open({
      ...{ site: "lyon", dataDir: folder.path, clock: systemClock, log: openLogger({ level: "silent", site: "lyon" }) },
      centralKeys: { verify: async () => Buffer.from(JSON.stringify(set)) },
      ...{ sealingKeys: () => [], centralNow: () => undefined },
    });
    expect(secrets.set).toBe("a".repeat(64));
  });

  it("of sealing keys stops the start in a sentence, and is left as it is", () => {
    using folder = temporaryFolder();
    new Keystore(folder.path, Date.now).current(1000);
    const file = join(folder.path, "keystore/keys.json");
    const newer = readFileSync(file, "utf8").replace('"version": 1', '"version": 2');
    writeFileSync(file, newer);
    expect(() => new Keystore(folder.path, Date.now)).toThrow(/cannot be read; restore it/);
    expect(readFileSync(file, "utf8")).toBe(newer);
  });

  it("of sealing keys may say more of each, which stays", () => {
    using folder = temporaryFolder();
    const { id } = new Keystore(folder.path, Date.now).current(1000);
    const file = join(folder.path, "keystore/keys.json");
    const stored = JSON.parse(readFileSync(file, "utf8")) as { keys: object[] };
    writeFileSync(file, JSON.stringify({ ...stored, keys: stored.keys.map((key) => ({ ...key, moon: "io" })) }));
    const store = new Keystore(folder.path, () => Date.now() + 60_000);
    expect(store.find(id)).toBeDefined();
    store.current(1);
    expect(readFileSync(file, "utf8")).toContain('"moon": "io"');
  });

  it("of how far lanes were flushed counts as none where its form is another", () => {
    using folder = temporaryFolder();
    const file = join(folder.path, "mark");
    mkdirSync(folder.path, { recursive: true });
    const mark = new FlushMark(file);
    mark.write(new Map([["transaction", { epoch: "e", next: 5, acknowledged: 2, dispatched: 2 }]]));
    mark.close();
    expect(readMark(file).get("transaction")?.next).toBe(5);
    const bytes = readFileSync(file);
    bytes.write("other", 8, "latin1");
    writeFileSync(file, bytes);
    expect(existsSync(file)).toBe(true);
    expect(readMark(file).size).toBe(0);
  });
});
