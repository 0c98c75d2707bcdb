import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, openSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { measurePart, readGist, writeArchive } from "../../../central/backup/archive.ts";
import { backUp } from "../../../central/backup/main.ts";
import { backupOf } from "../../support/backups.ts";
import { startTestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";

it("a backup of which only the manifest is read is closed once: the number of its handle may be another file's by then", async () => {
  await using central = await startTestCentral();
  using folder = temporaryFolder();
  const { manifest } = await backUp(backupOf(central, folder.path));
  // more than is read ahead
  const part = { name: "ledger.db", file: join(folder.path, "large") } as const;
  writeFileSync(part.file, randomBytes(5 * 1024 ** 2));
  const key = { name: "signing-key.json", file: join(folder.path, "key") } as const;
  writeFileSync(key.file, "{}");
  const file = join(folder.path, "backup");
  await writeArchive(file, { ...manifest, parts: [await measurePart(part), await measurePart(key)] }, [part, key], {});
  const others: number[] = [];
  for (let reads = 0; reads < 10; reads++) {
    expect(await readGist(file)).toMatchObject({ takenAt: manifest.takenAt });
    // takes the lowest number that is free: the one that was closed just now
    others.push(openSync(file, "r"));
    // what is still to be done in other threads is done before these
    await Promise.all(Array.from({ length: 64 }, () => stat(file)));
  }
  for (const other of others) expect(fstatSync(other).isFile()).toBe(true);
  for (const other of others) closeSync(other);
});
