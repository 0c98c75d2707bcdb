import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { project } from "../../packaging/package/workspace.ts";
import { must } from "../package/programs.ts";
import { expect } from "../package/steps.ts";
import { requireService } from "../support/services.ts";

/** The host of the Windows service, compiled as its installer compiles it, with a central of this machine as its child. */
export async function runHost(folder: string, note: (text: string) => void): Promise<void> {
  const [mcs, mono] = [await requireService("mcs"), await requireService("mono")];
  if (mcs === undefined || mono === undefined) return note("SKIPPED: Mono is missing");
  mkdirSync(folder);
  const host = join(folder, "PlantgateService.exe");
  const source = join(project, "packaging/install/windows/PlantgateService.cs");
  await must([mcs, "-langversion:5", "-warn:4", "-warnaserror", "-r:System.ServiceProcess", `-out:${host}`, source]);
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "bin"), { recursive: true });
  mkdirSync(join(tree, "app"));
  symlinkSync(process.execPath, join(tree, "bin/node.exe"));
  symlinkSync(join(project, "packaging"), join(tree, "app/packaging"));
  const [settings, logs] = [join(folder, "central.yaml"), join(folder, "logs")];
  const log = join(logs, "central.log");
  mkdirSync(logs);
  const start = () =>
    spawn(mono, [host, tree, "central", settings, logs, "--foreground"], { stdio: ["pipe", "inherit", "inherit"] });

  // past its size, it is turned with the next line
  writeFileSync(log, "x".repeat(10 * 1024 * 1024 + 1));
  writeFileSync(settings, `dataDir: ${join(folder, "central")}\nport: 0\n`);
  const good = start();
  await says(log, "central.process.started");
  expect(existsSync(`${log}.1`), "the log was turned");
  const stopped = once(good, "exit");
  good.stdin.end();
  const [code] = await stopped;
  expect(code === 0, "it ends with 0 when it is stopped", code);
  expect(
    readFileSync(log, "utf8")
      .split("\n")
      .filter((line) => line.includes('"level":50')).length === 0,
    "central ended cleanly",
  );

  // what ends by itself ends its host with the same code, for Windows to start it again
  writeFileSync(settings, "dataDirectory: nowhere\n");
  const bad = start();
  const [failed] = await once(bad, "exit");
  expect(failed !== 0, "it ends with the code of what ended by itself", failed);
  expect(/dataDir|settings/.test(readFileSync(log, "utf8")), "the log says why");
}

async function says(file: string, text: string): Promise<void> {
  const folder = join(file, "..");
  const changed = Promise.withResolvers<void>();
  const look = (): void => {
    if (existsSync(file) && readFileSync(file, "utf8").includes(text)) changed.resolve();
  };
  const watcher = watch(folder, look);
  look();
  await changed.promise;
  watcher.close();
}
