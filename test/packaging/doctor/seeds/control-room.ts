import { once } from "node:events";
import { closeSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import type { ControlRoom } from "../plant/control-room.ts";
import { makeKeyFile } from "../plant/keys.ts";
import { settingsGone } from "./host.ts";
import { changing, inData, keep, mode, owner, putBack, remove, replace, type Seed } from "./seed.ts";

type Own = Seed<ControlRoom>;

const key = (
  name: string,
  of: Pick<Own, "named" | "says">,
  change: ReturnType<typeof changing>,
  takes: readonly string[] = [],
): Own => ({
  name,
  ...of,
  takes: ["keys", ...takes],
  ...change,
});

const told = (name: string, of: Pick<Own, "named" | "says">, more: object, takes: readonly string[]): Own => ({
  name,
  ...of,
  takes: ["config", ...takes],
  sow: (room) => room.tell(more),
  mend: (room) => room.tell(),
});

/** Of the file that holds the ledger, while nobody has it open. */
function damage(name: string, says: RegExp, change: (file: string) => void): Own {
  let kept: ReturnType<typeof keep> | undefined;
  const file = inData("ledger.db");
  return {
    name,
    named: "fault database",
    says,
    takes: ["database"],
    whileStopped: true,
    sow: (room) => {
      kept = keep(file(room));
      change(file(room));
    },
    mend: (room) => {
      for (const beside of ["-wal", "-shm"]) rmSync(`${file(room)}${beside}`, { force: true });
      if (kept) putBack(file(room), kept);
    },
  };
}

function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const handle = openSync(file, "r+");
  writeSync(handle, bytes, 0, bytes.length, at);
  closeSync(handle);
}

const future = "9999-of-the-future";
let squatter: Server | undefined;

/** What goes wrong with central, wherever its ledger is. */
export const controlRoomSeeds: readonly Own[] = [
  {
    name: "the clock stands in 1970",
    named: "fault clock",
    says: /it says 19.*gateways follow this clock/,
    takes: ["clock"],
    clockSeconds: -56 * 365 * 86_400,
  },
  key(
    "the admin token is readable by all",
    { named: "fault permissions", says: /admin\.token/ },
    changing(inData("admin.token"), mode(0o644)),
    ["permissions: open file"],
  ),
  key(
    "the admin token is empty",
    { named: "fault keys admin.token", says: /it is empty.*Restore/ },
    changing(inData("admin.token"), replace("\n")),
  ),
  key(
    "the admin token is another one",
    { named: "fault keys admin.token", says: /does not take it.*restart central/ },
    changing(inData("admin.token"), replace("another-token-than-central-was-started-with")),
    ["process"],
  ),
  key(
    "the admin token is lost",
    { named: "fault keys admin.token", says: /is missing/ },
    changing(inData("admin.token"), remove),
  ),
  key(
    "the key of secrets is lost",
    { named: "fault keys secrets-key.json", says: /is missing.*Restore/ },
    changing(inData("secrets-key.json"), remove),
  ),
  key(
    "the key of secrets is damaged",
    { named: "fault keys secrets-key.json", says: /Restore it from the backup/ },
    changing(inData("secrets-key.json"), replace("{")),
  ),
  key(
    "the signing key is lost",
    { named: "fault keys signing-key.json", says: /is missing/ },
    changing(inData("signing-key.json"), remove),
  ),
  key(
    "the signing key is damaged",
    { named: "fault keys signing-key.json", says: /holds no signing key/ },
    changing(inData("signing-key.json"), replace('{"kty":"OKP"}')),
  ),
  key(
    "the signing key is another central's",
    { named: "fault database", says: /another signing key/ },
    changing(
      inData("signing-key.json"),
      replace(() => makeKeyFile()),
    ),
    ["database"],
  ),
  key("the folder is open", { named: "fault permissions", says: /others may enter/ }, changing(inData(""), mode(0o755)), [
    "permissions: folder",
  ]),
  told(
    "a setting has a wrong value",
    { named: "fault settings", says: /leaseSeconds.*central\.yaml/ },
    { leaseSeconds: "long" },
    settingsGone,
  ),
  told(
    "the database's name is not known",
    { named: "fault names database.invalid", says: /does not resolve/ },
    { databaseUrl: "postgres://central@database.invalid/plantgate" },
    ["names", "database"],
  ),
  told(
    "the database is away",
    { named: "fault database", says: /is not reached.*pg_hba/ },
    { databaseUrl: "postgres://central@127.0.0.1:1/plantgate" },
    ["database"],
  ),
  told("the console is not there", { named: "warning console", says: /only the API is served/ }, { consoleDir: "/nowhere" }, [
    "console",
  ]),
  {
    name: "the lock was deleted under central",
    named: "fault process",
    says: /its lock was deleted.*restart this one/,
    takes: ["lock"],
    needs: ["process"],
    sow: (room) => rmSync(room.file("lock")),
    // it goes on without: only a start makes another
    mend: (room) => room.stop("SIGKILL"),
  },
  {
    name: "central hangs",
    named: "fault process",
    says: /holds the data folder, and does not answer/,
    takes: ["process"],
    sow: ({ pid }) => process.kill(pid as number, "SIGSTOP"),
    mend: ({ pid }) => process.kill(pid as number, "SIGCONT"),
  },
  {
    name: "central does not start, as its port is taken",
    named: "fault ports",
    says: /process \d+ .* listens on port/,
    takes: ["process", "unit", "config"],
    before: "stop",
    sow: async (room) => {
      await room.stop();
      squatter = createServer().listen(room.root.port, "127.0.0.1");
      await once(squatter, "listening");
      room.root.tell({ ActiveState: "activating", SubState: "auto-restart", NRestarts: "7", Result: "exit-code" });
    },
    mend: (room) => {
      squatter?.close();
      room.root.tell();
    },
  },
  {
    name: "NTP does not get through",
    named: "warning clock",
    says: /NTP does not get through.*firewall/,
    takes: ["clock"],
    sow: ({ root }) =>
      writeFileSync(root.at("bin/timedatectl"), "#!/bin/sh\necho NTP=yes\necho NTPSynchronized=no\n", { mode: 0o755 }),
    mend: ({ root }) => rmSync(root.at("bin/timedatectl")),
  },
];

export const sqliteSeeds: readonly Own[] = [
  {
    name: "the ledger is root's",
    named: "fault permissions",
    says: /not plantgate-central's: ledger\.db \(root\)/,
    takes: ["database", "permissions: owner"],
    // one that is gone has no name any more
    needs: ["user"],
    ...changing(inData("ledger.db"), owner(0)),
  },
  damage("the ledger is lost", /is missing, which was there before.*plantgate restore/, (file) =>
    renameSync(file, `${file}.away`),
  ),
  damage("the ledger's header is damaged", /cannot be read.*smartctl/, (file) =>
    overwrite(file, 0, Buffer.from("garbage garbage ")),
  ),
  damage("a page of the ledger is damaged", /cannot be read/, (file) => overwrite(file, 5 * 4096, Buffer.alloc(4096, 7))),
  damage("the ledger is a newer version's", /newer version \(9999/, (file) => {
    const db = new DatabaseSync(file);
    db.exec(`INSERT INTO kysely_migration (name, timestamp) VALUES ('${future}', '2030-01-01')`);
    db.close();
  }),
];

export const postgresSeeds: readonly Own[] = [
  {
    name: "the ledger is a newer version's",
    named: "fault database",
    says: /newer version \(9999/,
    takes: ["database"],
    sow: (room) => inDatabase(room, `INSERT INTO kysely_migration (name, timestamp) VALUES ('${future}', '2030-01-01')`),
    mend: (room) => inDatabase(room, `DELETE FROM kysely_migration WHERE name = '${future}'`),
  },
  {
    name: "the database may lose what it confirmed",
    named: "fault database",
    says: /can lose what it confirmed: synchronous_commit = off/,
    takes: ["database"],
    sow: (room) => inDatabase(room, `ALTER DATABASE ${nameOf(room)} SET synchronous_commit = off`),
    mend: (room) => inDatabase(room, `ALTER DATABASE ${nameOf(room)} RESET synchronous_commit`),
  },
  {
    name: "the database is another one",
    named: "fault database",
    says: /is not reached: .*does not exist/,
    takes: ["database", "config"],
    sow: (room) => room.tell({ databaseUrl: `${room.database?.url.slice(0, room.database.url.lastIndexOf("/"))}/nowhere` }),
    mend: (room) => room.tell(),
  },
];

async function inDatabase({ database }: ControlRoom, query: string): Promise<void> {
  const client = new pg.Client(database?.url);
  await client.connect();
  await client.query(query);
  await client.end();
}

function nameOf({ database }: ControlRoom): string {
  return `"${new URL(database?.url as string).pathname.slice(1)}"`;
}
