import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { CentralFacts, centralChecks } from "../../../central/doctor/doctor.ts";
import { restoringMark } from "../../../central/storage/postgres.ts";
import { known, runChecks, systemClock } from "../../../protocol/index.ts";
import { startTestCentral } from "../../support/central.ts";
import { createDatabase, postgresServer } from "../../support/postgres.ts";
import { storages } from "../../support/storages.ts";

const isThere = (await storages()).includes("postgres") && (await postgresServer()) !== undefined;

/** What is said of a ledger in PostgreSQL by the doctor of a central that has run on this folder. */
async function look(dataDir: string, databaseUrl: string): Promise<string[]> {
  const facts = new CentralFacts({
    dataDir,
    holder: undefined,
    said: known({ databaseUrl }),
    isService: false,
    listeners: undefined,
    whyNotListen: async () => undefined,
    consoleDir: undefined,
    clock: systemClock,
    ntp: async () => undefined,
  });
  const checks = centralChecks(facts).filter(({ name }) => name === "database");
  return (await runChecks(checks, systemClock)).map(({ level, seen, advice }) => `${level} ${seen} ${advice ?? ""}`);
}

it.skipIf(!isThere)(
  "a ledger in PostgreSQL that its user may not use, that is gone, or half restored, is named as that",
  async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    const { dataDir, database } = central;
    const { url, query } = database!;
    expect(await look(dataDir, url)).toEqual([expect.stringMatching(/^ok .*, schema /)]);

    const role = `role_${randomUUID().replaceAll("-", "")}`;
    await query(`CREATE ROLE ${role} LOGIN`);
    const asRole = url.replace("postgres@", `${role}@`);
    const shut = new RegExp(`^fault .*the user ${role} may not read and write \\w+ and \\d+ more of its tables .*GRANT ALL`);
    expect(await look(dataDir, asRole)).toEqual([expect.stringMatching(shut)]);
    await query(`GRANT ALL ON ALL TABLES IN SCHEMA public TO ${role}`);
    expect(await look(dataDir, asRole)).toEqual([expect.stringMatching(/^ok /)]);
    // somebody else's table beside them is no matter of central's
    const other = `${role}_other`;
    await query(`CREATE ROLE ${other}`);
    await query(`CREATE TABLE maps (id int)`);
    await query(`ALTER TABLE maps OWNER TO ${other}`);
    expect(await look(dataDir, asRole)).toEqual([expect.stringMatching(/^ok /)]);
    await query("DROP TABLE maps");
    await query(`DROP ROLE ${other}`);
    await query(`REVOKE DELETE ON sites FROM ${role}`);
    expect(await look(dataDir, asRole)).toEqual([expect.stringMatching(/^fault .* may not read and write sites /)]);
    await query(`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM ${role}`);
    await query(`DROP ROLE ${role}`);

    await query(`COMMENT ON SCHEMA public IS '${restoringMark}'`);
    expect(await look(dataDir, url)).toEqual([
      expect.stringMatching(/^fault .*did not come to its end: run "plantgate restore" again/),
    ]);
    await query("COMMENT ON SCHEMA public IS NULL");

    await using empty = await createDatabase();
    expect(await look(dataDir, empty.url)).toEqual([
      expect.stringMatching(/^fault .*holds no ledger, and central ran with .*right database.*plantgate restore/),
    ]);
    expect(await look("/nowhere", empty.url)).toEqual([expect.stringMatching(/^ok .*has no ledger yet/)]);
  },
);
