import { describe, expect, it } from "vitest";
import { type Heard, openNotices } from "../../../central/storage/notices.ts";
import { openStorage } from "../../../central/storage/storage.ts";
import { openLogger } from "../../../central/telemetry/logger.ts";
import { type Lane, systemClock } from "../../../protocol/index.ts";
import { eventually } from "../../support/central.ts";
import { createDatabase, postgresServer } from "../../support/postgres.ts";

describe.skipIf((await postgresServer()) === undefined)("replicas' notices", () => {
  it("that nobody can read, or that are too long to say what, send everybody to look everywhere", async () => {
    await using database = await createDatabase();
    const storage = await openStorage({ kind: "postgres", url: database.url });
    const heard: Heard[] = [];
    const log = openLogger({ level: "silent" });
    const notices = openNotices({ storage, url: database.url, clock: systemClock, log }, (notice) => heard.push(notice));
    try {
      const all = (): number => heard.filter((each) => each === "everything").length;
      // told until the connection listens
      await eventually(
        async () => notices.tell({ sites: ["plant-a"] }),
        () => heard.length > 0,
      );
      expect(heard[0]).toMatchObject({ sites: ["plant-a"] });
      const unreadable = ["", "not json", "null", "[]", '{"l": 1}', '{"s": [1]}'];
      for (const [index, payload] of unreadable.entries()) {
        await database.query("SELECT pg_notify('plantgate', $1)", [payload]);
        await eventually(
          async () => all(),
          (count) => count === index + 1,
        );
      }
      notices.tell({ lanes: Array.from({ length: 1000 }, (_, n) => ({ site: `plant-${n}`, lane: "transaction" as Lane })) });
      await eventually(
        async () => all(),
        (count) => count === unreadable.length + 1,
      );
    } finally {
      await notices.stop();
      await storage.destroy();
    }
  });
});
