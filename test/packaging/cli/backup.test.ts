import { chownSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startTestCentral } from "../../support/central.ts";
import { plantgate } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";

it("takes a backup, judges it, and puts it back; each step says what it found", async () => {
  await using central = await startTestCentral();
  using folder = temporaryFolder();
  const run = (...args: string[]) => plantgate(args, { cwd: folder.path });
  await central.admin("PUT", "/v1/secrets/wms", { value: "v" });
  const made = await run("backup", "--data", central.dataDir, "--out", "backups/", "--keep", "2", "-o", "json");
  expect(made.err).toMatch(/^1 value of a secret lies sealed in it: secrets cannot be restored from this backup alone/);
  const { file } = JSON.parse(made.out) as { file: string };
  expect(await run("backup", "--data", central.dataDir, "--out", file)).toMatchObject({
    code: 1,
    err: expect.stringContaining("is there already"),
  });
  expect(await run("backup", "--data", central.dataDir, "--out", "one", "--keep", "2")).toMatchObject({
    code: 1,
    err: expect.stringContaining("--keep needs a folder"),
  });
  expect((await run("backup", "verify", file)).out).toMatch(/whole +true/);
  const damaged = readFileSync(join(folder.path, file));
  damaged[1000] = (damaged[1000] as number) ^ 1;
  writeFileSync(join(folder.path, "damaged"), damaged);
  expect(await run("backup", "verify", "damaged")).toMatchObject({
    code: 1,
    err: expect.stringMatching(/it is (no whole backup|damaged)/),
  });
  expect(await run("restore", "damaged", "--data", "new")).toMatchObject({ code: 1 });
  expect(readdirSync(folder.path)).not.toContain("new");
  const restored = await run("restore", file, "--data", "new");
  expect(restored.err).toMatch(/cannot be opened.*Start it with: plantgate central --data new/s);
  expect(restored.code).toBe(0);
});

it.skipIf(process.getuid?.() !== 0)(
  "leaves nothing of root's in a folder of somebody else's, wherever backup and keys lie",
  async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    await central.admin("PUT", "/v1/secrets/wms", { value: "v" });
    await central.stop();
    const [uid, gid] = [1, 1];
    const own = (path: string): void => {
      chownSync(path, uid, gid);
      if (statSync(path).isDirectory()) for (const name of readdirSync(path)) own(join(path, name));
    };
    own(central.dataDir);
    // nobody but root may move it
    mkdirSync(join(central.dataDir, "of-root"));
    mkdirSync(join(folder.path, "private"), { mode: 0o700 });
    const [file, keys] = ["private/central.tar.zst", "private/keys.json"];
    const run = (...args: string[]) => plantgate(args, { cwd: folder.path });
    expect(await run("backup", "--data", central.dataDir, "--out", file, "--keys-out", keys)).toMatchObject({ code: 0, err: "" });
    expect(await run("restore", file, "--data", central.dataDir, "--keys", keys, "--replace")).toMatchObject({ code: 0 });
    const owners = (path: string): number[] => [
      statSync(path).uid,
      ...(statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => owners(join(path, name))) : []),
    ];
    rmdirSync(join(central.dataDir, "of-root"));
    expect([...new Set(owners(central.dataDir))]).toEqual([uid]);
  },
);
