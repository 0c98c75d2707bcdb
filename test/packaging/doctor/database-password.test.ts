import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { plantgate } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { startPlantgate } from "../../support/process.ts";

afterEach(() => vi.unstubAllEnvs());

/** A server that asks for the password in plain text, keeps what it is told, and refuses it. */
async function startServer() {
  const told: string[] = [];
  const askForPassword = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]);
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(askForPassword);
      socket.once("data", (answer: Buffer) => {
        told.push(answer.subarray(5, -1).toString());
        socket.destroy();
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    told,
    url: `postgres://plantgate@127.0.0.1:${port}/plantgate`,
    line: (password: string): string => `127.0.0.1:${port}:plantgate:plantgate:${password}\n`,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

/** Another root, in which a package put a central. */
function openRoot(root: string, settings: object) {
  const top = join(root, "opt/plantgate/central");
  const dataDir = join(root, "var/lib/plantgate/central");
  for (const folder of [join(top, "versions/0.0.1"), join(root, "etc/plantgate")]) mkdirSync(folder, { recursive: true });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  symlinkSync("versions/0.0.1", join(top, "current"));
  writeFileSync(join(root, "etc/plantgate/central.yaml"), JSON.stringify({ ...settings, dataDir }));
  vi.stubEnv("PLANTGATE_ROOT", root);
  vi.stubEnv("PGPASSFILE", undefined);
  vi.stubEnv("PGPASSWORD", undefined);
  return dataDir;
}

const look = (cwd: string) => plantgate(["doctor", "--role", "central", "--json", "--only", "database"], { cwd });

it("asks the database with the password of /etc/plantgate/pgpass, unless it is told of another file", async () => {
  using folder = temporaryFolder();
  await using server = await startServer();
  openRoot(folder.path, { databaseUrl: server.url });
  writeFileSync(join(folder.path, "etc/plantgate/pgpass"), server.line("of-the-machine"), { mode: 0o600 });
  await look(folder.path);
  expect(server.told).toEqual(["of-the-machine"]);

  const own = join(folder.path, "own");
  writeFileSync(own, server.line("of-my-own"), { mode: 0o600 });
  vi.stubEnv("PGPASSFILE", own);
  await look(folder.path);
  expect(server.told).toEqual(["of-the-machine", "of-my-own"]);
});

it.skipIf(process.platform !== "linux")("asks it with the password that the running central was told of", async () => {
  using folder = temporaryFolder();
  await using server = await startServer();
  const dataDir = openRoot(folder.path, { databaseUrl: server.url });
  const file = join(folder.path, "pgpass");
  writeFileSync(file, server.line("of-the-process"), { mode: 0o600 });
  // its ledger is a file: only what it was told counts here
  const config = join(folder.path, "as-it-runs.yaml");
  writeFileSync(config, JSON.stringify({ port: 0, dataDir }));
  for (const [env, password] of [
    [{ PGPASSFILE: file }, "of-the-process"],
    [{ PGPASSWORD: "said-to-it" }, "said-to-it"],
  ] as const) {
    await using central = startPlantgate(["central", "--config", config], { env });
    await central.logged("central.process.started");
    await look(folder.path);
    expect(server.told.at(-1)).toBe(password);
  }
});
