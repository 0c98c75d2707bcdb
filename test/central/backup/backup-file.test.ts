import { spawnSync } from "node:child_process";
import { createHash, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { appendFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Part, readArchive, writeArchive } from "../../../central/backup/archive.ts";
import { backUp, restore, verify } from "../../../central/backup/main.ts";
import { systemClock } from "../../../protocol/index.ts";
import { backupOf } from "../../support/backups.ts";
import { startTestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";

describe("a backup file", () => {
  it("that was changed anywhere, or cut off, is found", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const keysFile = join(folder.path, "keys.json");
    await central.admin("PUT", "/v1/secrets/wms", { value: "v" });
    const { file } = await backUp(backupOf(central, folder.path, { keysOut: keysFile }));
    const whole = readFileSync(file);
    const damaged = join(folder.path, "damaged");
    const isFound = async (content: Buffer): Promise<boolean> => {
      writeFileSync(damaged, content);
      return verify({ file: damaged }).then(
        () => false,
        (error: { code?: string }) => error.code === "INPUT_INVALID",
      );
    };
    const inside = zstdDecompressSync(whole);
    // a frame's header has a bit that nobody reads
    const isSame = (content: Buffer): boolean => {
      try {
        return zstdDecompressSync(content).equals(inside);
      } catch {
        return false;
      }
    };
    expect(await isFound(whole)).toBe(false);
    for (let at = 0; at < whole.length; at += Math.ceil(whole.length / 150)) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ 0x10;
      expect(isSame(changed) || (await isFound(changed)), `byte ${at} of ${whole.length}`).toBe(true);
    }
    for (const length of [0, 1, 20, Math.floor(whole.length / 2), whole.length - 1])
      expect(await isFound(whole.subarray(0, length)), `cut at ${length}`).toBe(true);
    expect(await isFound(Buffer.concat([whole, Buffer.from("more")]))).toBe(true);
    // what a part holds is judged by itself as well: the compression's checksum may have been made anew
    for (const text of ['"positions"', "SQLite format 3", '"kty"', "SHA256SUMS"]) {
      const changed = Buffer.from(inside);
      const at = changed.indexOf(text) + 2;
      changed[at] = (changed[at] as number) ^ 1;
      expect(await isFound(zstdCompressSync(changed)), text).toBe(true);
    }
    expect(await isFound(zstdCompressSync(inside))).toBe(false);
    await expect(verify({ file: folder.path })).rejects.toMatchObject({ code: "INPUT_INVALID" });
    const keys = readFileSync(keysFile, "utf8");
    const [, key = ""] = /"k": "([\w-]+)"/.exec(keys) ?? [];
    writeFileSync(keysFile, keys.replace(key, `${key.startsWith("A") ? "B" : "A"}${key.slice(1)}`));
    await expect(verify({ file, keysFile })).rejects.toMatchObject({ code: "INPUT_INVALID" });
  });

  it("of a newer ledger, or of a newer format, is refused and nothing is touched", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const { file } = await backUp(backupOf(central, folder.path));
    const inside = zstdDecompressSync(readFileSync(file));
    const dataDir = join(folder.path, "new");
    const sumOf = (text: string): string => createHash("sha256").update(text).digest("hex");
    const remade = (from: string, to: string): string => {
      const path = join(folder.path, `${to.replaceAll(/\W/g, "")}.zst`);
      const start = inside.indexOf("{");
      const before = inside.toString("utf8", start, inside.indexOf("\0", start));
      const text = before.replace(from, to);
      // the same length: headers stay as they are
      const changed = Buffer.concat([inside.subarray(0, start), Buffer.from(text), inside.subarray(start + text.length)]);
      const sum = changed.indexOf(sumOf(before));
      if (sum >= 0) changed.write(sumOf(text), sum);
      writeFileSync(path, zstdCompressSync(changed));
      return path;
    };
    const newer = { file: remade("0005-configuration", "9999-configuration"), dataDir, replace: false, clock: systemClock };
    await expect(restore(newer)).rejects.toMatchObject({
      code: "FORMAT_NEWER",
      message: expect.stringContaining("9999-configuration"),
    });
    await expect(restore({ ...newer, file: remade('"format": 1', '"format": 9') })).rejects.toMatchObject({
      code: "FORMAT_NEWER",
    });
    // whole, and of another ledger than it says
    const { head } = (await verify({ file })).manifest.ledger.audit;
    const other = `${head.startsWith("0") ? "1" : "0"}${head.slice(1)}`;
    await expect(restore({ ...newer, file: remade(head, other) })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      message: expect.stringContaining("is not the one that its manifest describes"),
    });
    expect(existsSync(dataDir)).toBe(false);
  });

  it("that is no file is refused at once, also what nobody writes into", { timeout: 30_000 }, async () => {
    using folder = temporaryFolder();
    const pipe = join(folder.path, "pipe");
    const refused = { code: "INPUT_INVALID", message: "it is no file: name the backup itself" };
    const dataDir = join(folder.path, "new");
    for (const file of process.platform === "win32" || spawnSync("mkfifo", [pipe]).status !== 0 ? [] : [pipe, "/dev/null"]) {
      await expect(verify({ file }), file).rejects.toMatchObject(refused);
      await expect(restore({ file, dataDir, replace: false, clock: systemClock }), file).rejects.toMatchObject(refused);
    }
    expect(existsSync(dataDir)).toBe(false);
  });

  it("that lacks ledger or signing key is none, however well it was made", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const { file, manifest } = await backUp(backupOf(central, folder.path));
    const dataDir = join(folder.path, "new");
    const parts: Part[] = [];
    const sink = (name: Part["name"]) => {
      const part = join(folder.path, name);
      writeFileSync(part, "");
      parts.push({ name, file: part });
      return { write: (piece: Buffer) => appendFileSync(part, piece), end: () => {} };
    };
    await readArchive(file, { sink });
    for (const lacking of ["ledger.db", "signing-key.json"]) {
      const made = join(folder.path, `without-${lacking}`);
      const kept = <Each extends { readonly name: string }>(each: readonly Each[]) => each.filter(({ name }) => name !== lacking);
      await writeArchive(made, { ...manifest, parts: kept(manifest.parts) }, kept(parts), {});
      const refused = { code: "INPUT_INVALID", message: `it is no whole backup: ${lacking} is not in it` };
      await expect(verify({ file: made })).rejects.toMatchObject(refused);
      await expect(restore({ file: made, dataDir, replace: false, clock: systemClock })).rejects.toMatchObject(refused);
    }
    expect(existsSync(dataDir)).toBe(false);
  });

  it("that is sealed is opened by the recovery key alone", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const pair = () =>
      generateKeyPairSync("rsa", {
        modulusLength: 2048,
        publicKeyEncoding: { type: "spki", format: "pem" },
        privateKeyEncoding: { type: "pkcs8", format: "pem" },
      });
    const [own, other] = [pair(), pair()];
    const { file } = await backUp(backupOf(central, folder.path, { recipient: own.publicKey }));
    await expect(verify({ file })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("--recovery-key"),
    });
    await expect(verify({ file, recoveryKey: other.privateKey })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect((await verify({ file, recoveryKey: own.privateKey })).manifest.kind).toBe("CentralBackup");
    const locked = createPrivateKey(own.privateKey).export({
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "x",
    });
    for (const unreadable of [locked.toString(), own.publicKey])
      await expect(verify({ file, recoveryKey: unreadable })).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringContaining("passphrase"),
      });
    const whole = readFileSync(file);
    for (const at of [500, Math.floor(whole.length / 2), whole.length - 1]) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ 1;
      writeFileSync(join(folder.path, "changed"), changed);
      await expect(verify({ file: join(folder.path, "changed"), recoveryKey: own.privateKey })).rejects.toMatchObject({
        code: "INPUT_INVALID",
      });
    }
    truncateSync(file, whole.length - 4);
    await expect(verify({ file, recoveryKey: own.privateKey })).rejects.toMatchObject({ code: "INPUT_INVALID" });
  });
});
