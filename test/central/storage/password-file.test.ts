import { once } from "node:events";
import { chmodSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { asideInDatabase, inDatabase } from "../../../central/backup/postgres-copy.ts";
import { findPassword } from "../../../central/storage/password-file.ts";
import { temporaryFolder } from "../../support/folder.ts";

const target = { host: "db.example.com", port: 5432, database: "plantgate", user: "central" };

describe("a password file", () => {
  it.each([
    ["gives the password of the line that fits", "other:5432:plantgate:central:no\ndb.example.com:5432:plantgate:central:yes\n"],
    ["gives that of the first of them", "db.example.com:*:*:*:yes\n*:*:*:*:no\n"],
    ["may be written by Windows", "db.example.com:5432:plantgate:central:yes\r\n"],
    [
      "may hold remarks and lines that say nothing",
      "# of the plant\n\ndb.example.com\n#db.example.com:5432:plantgate:central:no\n*:*:*:*:yes",
    ],
    ["passes over a line without a password", "*:*:*:*:\n*:*:*:*:yes"],
  ])("%s", (_, text) => {
    expect(findPassword(text, target)).toBe("yes");
  });

  it("says what its own signs mean", () => {
    expect(findPassword("db.example.com:5432:plantgate:central:a\\:b\\\\c:d\n", target)).toBe("a:b\\c:d");
    expect(findPassword("*:*:my\\:own:*:yes\n", { ...target, database: "my:own" })).toBe("yes");
    expect(findPassword("localhost:*:*:*:yes\n", { ...target, host: "/var/run/postgresql" })).toBe("yes");
  });

  it("gives nothing for another database, port or user", () => {
    for (const line of ["*:5433:*:*:no", "*:*:other:*:no", "*:*:*:other:no", "", "*:*:*:no"])
      expect(findPassword(line, target), line).toBeUndefined();
  });
});

/** A server that asks for the password in plain text, keeps what it is told, and goes; who says nothing it waits for. */
async function startServer() {
  const told: string[] = [];
  const closed: Promise<unknown>[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    closed.push(new Promise((resolve) => socket.once("close", resolve)));
    socket.once("data", () => {
      socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
      socket.once("data", (answer: Buffer) => {
        told.push(answer.subarray(5, -1).toString());
        socket.destroy();
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { told, closed, port, [Symbol.asyncDispose]: async () => void server.close() };
}

describe("a database that asks for a password", () => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  afterEach(() => {
    vi.unstubAllEnvs();
    process.off("warning", warned);
  });

  it("is told that of the file, as it is now, without a word about how that is read", async () => {
    await using server = await startServer();
    using folder = temporaryFolder();
    const file = join(folder.path, "pgpass");
    vi.stubEnv("PGPASSFILE", file);
    vi.stubEnv("PGPASSWORD", undefined);
    process.on("warning", warned);
    const url = `postgres://central@127.0.0.1:${server.port}/plantgate`;
    const call = async (password: string, connect: () => Promise<unknown>): Promise<void> => {
      writeFileSync(file, `127.0.0.1:${server.port}:plantgate:central:${password}\n`, { mode: 0o600 });
      await expect(connect()).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    };
    await inDatabase(url, async (db) => {
      const look = () => db.selectFrom("sites").select("name").execute();
      await call("first", look);
      await call("second", look);
    });
    await call("third", () => asideInDatabase(url, "aside", async () => {}));
    await new Promise((resolve) => setImmediate(resolve));
    expect([server.told, warnings]).toEqual([["first", "second", "third"], []]);
  });

  it.skipIf(process.platform === "win32")(
    "is told nothing where others may read the file, and where it has no line",
    async () => {
      await using server = await startServer();
      using folder = temporaryFolder();
      const file = join(folder.path, "pgpass");
      vi.stubEnv("PGPASSFILE", file);
      vi.stubEnv("PGPASSWORD", undefined);
      const url = `postgres://central@127.0.0.1:${server.port}/plantgate`;
      const look = () => inDatabase(url, (db) => db.selectFrom("sites").select("name").execute());
      const fails = (why: RegExp) =>
        expect(look()).rejects.toMatchObject({ code: "PEER_UNREACHABLE", cause: { message: expect.stringMatching(why) } });
      await fails(/there is no .*pgpass \(PGPASSFILE\)/);
      writeFileSync(file, "*:*:*:*:secret\n");
      chmodSync(file, 0o640);
      await fails(/pgpass may be read by others: chmod 600/);
      chmodSync(file, 0o600);
      writeFileSync(file, "other:*:*:*:secret\n");
      await fails(/pgpass has no line for 127\.0\.0\.1:\d+:plantgate:central/);
      rmSync(file);
      symlinkSync(file, file);
      await fails(/the password file .*pgpass cannot be read/);
      const aside = asideInDatabase(url, "aside", async () => {});
      await expect(aside).rejects.toMatchObject({ cause: { message: expect.stringMatching(/pgpass cannot be read/) } });
      // none of the connections is left to a server that waits for its password
      expect(await Promise.all(server.closed)).toHaveLength(5);
      expect(server.told).toEqual([]);
    },
  );
});
