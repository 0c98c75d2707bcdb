import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WallClock } from "../../../fault/clock/faketime.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { createDatabase } from "../../../support/postgres.ts";
import { type RunningProcess, startPlantgate, until } from "../../../support/process.ts";
import type { StorageKind } from "../../../support/storages.ts";
import { loopDisk } from "./disk.ts";
import { doctorIn } from "./host.ts";
import { openRoot, serviceUid } from "./root.ts";

/** A central as a package installs it, on a disk of its own, with its ledger in a file or in PostgreSQL. */
export async function openControlRoom(library: string, storage: StorageKind) {
  // what was begun is ended as well where a later step fails
  await using began = new AsyncDisposableStack();
  const folder = began.use(temporaryFolder()).path;
  chmodSync(folder, 0o755);
  const disk = began.use(loopDisk(folder, 300));
  const dataDir = join(disk.path, "central");
  mkdirSync(dataDir, { mode: 0o700 });
  chownSync(dataDir, serviceUid, serviceUid);
  const root = began.use(await openRoot(folder, "central", dataDir));
  const database = storage === "postgres" ? began.use(await createDatabase()) : undefined;
  const consoleDir = join(folder, "console");
  mkdirSync(consoleDir);
  writeFileSync(join(consoleDir, "index.html"), "");
  const settings = { port: root.port, consoleDir, ...(database ? { databaseUrl: database.url } : {}) };

  let central: RunningProcess | undefined;
  began.defer(async () => central?.[Symbol.asyncDispose]());
  const isUp = async (): Promise<boolean> => {
    try {
      return (await fetch(`http://127.0.0.1:${root.port}/health`, { signal: AbortSignal.timeout(2000) })).ok;
    } catch {
      return false;
    }
  };
  const room = {
    ...{ folder, dataDir, root, disk, database, consoleDir, clock: new WallClock(folder, "doctor", library) },
    get pid() {
      return central?.pid;
    },
    /** What its settings' file says, with something otherwise. */
    tell: (more: object = {}): void => {
      const said = Object.entries({ ...settings, ...more }).map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`);
      writeFileSync(root.config, said.join(""));
    },
    async start(): Promise<void> {
      central = startPlantgate(["central", "--config", "/etc/plantgate/central.yaml"], {
        wrapper: root.enteredAsService,
        env: root.env,
      });
      await until(isUp, (is) => is);
    },
    stop: async (signal: NodeJS.Signals = "SIGTERM"): Promise<void> => {
      await central?.kill(signal);
      central = undefined;
    },
    async recover(): Promise<void> {
      if (central && (await isUp())) return;
      await room.stop("SIGKILL");
      await room.start();
    },
    file: (path: string): string => join(dataDir, path),
    doctor: doctorIn(root, folder),
    [Symbol.asyncDispose]: (): Promise<void> => begun.disposeAsync(),
  };
  room.tell();
  await room.start();
  const begun = began.move();
  return room;
}
export type ControlRoom = Awaited<ReturnType<typeof openControlRoom>>;
