// What PlantgateService.cs is, without Windows' services: starts a role, hands on what it says, and closes its input when somebody says stop.
// `node.exe host.mjs LAUNCHER STOPFILE ARGUMENTS...`
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

const [, , launcher, stopFile, ...args] = process.argv;
const child = spawn(process.execPath, [launcher, ...args, "--until-input-ends"], { stdio: ["pipe", "pipe", "pipe"] });
child.stdout.pipe(process.stdout);
child.stderr.pipe(process.stderr);
const looking = setInterval(() => {
  if (!existsSync(stopFile)) return;
  clearInterval(looking);
  child.stdin.end();
}, 100);
child.on("exit", (code) => {
  process.exitCode = code ?? 1;
  clearInterval(looking);
});
