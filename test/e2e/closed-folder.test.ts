import { execFile, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { temporaryFolder } from "../support/folder.ts";

const nobody = 65534;
const commandLine = new URL("../../packaging/cli/main.ts", import.meta.url).href;
/** One process for all of them, so that the program is loaded once. */
const script = `
  const { main } = await import(${JSON.stringify(commandLine)});
  for (const args of JSON.parse(process.argv[1])) process.stdout.write((await main(["node", "plantgate", ...args])) + "\\n");
`;

/** A checkout below a folder that is closed to others cannot be run by them. */
const canRun = (): boolean => {
  const args = ["--input-type=module", "-e", `await import(${JSON.stringify(commandLine)})`];
  return process.getuid?.() === 0 && spawnSync(process.execPath, args, { uid: nobody, gid: nobody }).status === 0;
};

it.skipIf(!canRun())("says to whoever forgot sudo that a folder is closed to him, and not that nothing is in it", async () => {
  using folder = temporaryFolder();
  chmodSync(folder.path, 0o777);
  const data = join(folder.path, "data");
  mkdirSync(data, { mode: 0o700 });
  const asNobody = (...commands: string[][]) =>
    promisify(execFile)(
      process.execPath,
      ["--input-type=module", "-e", script, JSON.stringify(commands.map((command) => [...command, "--data", data]))],
      { cwd: folder.path, env: { ...process.env, HOME: folder.path }, uid: nobody, gid: nobody },
    );
  const commands = [
    ["queue", "depth"],
    ["key", "--fingerprint"],
    ["gateway"],
    ["gateway", "move-out", "--out", "x.move"],
    ["central"],
    ["backup", "--out", "x.tar.zst"],
    ["restore", "x.tar.zst"],
  ];
  const closed = `plantgate: ${data} is closed to this user: run this as root, or as the user whose it is\n`;
  expect(await asNobody(...commands)).toEqual({
    stdout: "1\n".repeat(commands.length),
    stderr: closed.repeat(commands.length),
  });

  // what others can see helps somebody who asks for help, who is to know that it is not all
  const bundle = join(folder.path, "bundle.tar.gz");
  const { stderr } = await asNobody(["support-bundle", "--role", "gateway", "--out", bundle]);
  expect(existsSync(bundle)).toBe(true);
  expect(stderr).toContain(`It holds little: ${data} is closed to this user. Make it again as root`);
});
