import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import { lastStep } from "../../../central/storage/migrations.ts";
import { openStorage } from "../../../central/storage/storage.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

describe.each(await storages())("a ledger on %s that a newer central wrote", (kind) => {
  it("is refused in a sentence that says what to do, and is left as it is", async () => {
    await using storage = await openTestStorage(kind);
    const db = await openStorage(storage.target);
    const steps = () => sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name`.execute(db);
    await sql`INSERT INTO kysely_migration (name, timestamp) VALUES ('9999-moons', '2030-01-01T00:00:00.000Z')`.execute(db);
    const { rows: before } = await steps();
    await expect(openStorage(storage.target)).rejects.toMatchObject({
      code: "FORMAT_NEWER",
      message: expect.stringMatching(
        /was written by a newer version: use that version, or restore a backup .* nothing of it was changed/,
      ),
    });
    expect((await steps()).rows).toEqual(before);
    await db.destroy();
  });

  it("has the schema that this version names", async () => {
    await using storage = await openTestStorage(kind, { isNew: true });
    const db = await openStorage(storage.target);
    const { rows } = await sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name DESC LIMIT 1`.execute(db);
    expect(rows).toEqual([{ name: lastStep }]);
    await db.destroy();
  });
});
