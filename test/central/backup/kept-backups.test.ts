import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { dropOld } from "../../../central/backup/kept-backups.ts";
import { backUp, verify } from "../../../central/backup/main.ts";
import { systemClock } from "../../../protocol/index.ts";
import { backupOf } from "../../support/backups.ts";
import { startTestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { openPlant } from "./plant.ts";

describe("of a folder that keeps the newest", () => {
  const at = (iso: string) => ({ ...systemClock, now: () => Date.parse(iso) as never });

  it("none is replaced, and the newest stay", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    await backUp(backupOf(central, folder.path));
    await expect(backUp(backupOf(central, folder.path))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    const out = join(folder.path, "kept");
    mkdirSync(out);
    writeFileSync(join(out, "of-somebody-else.tar.zst"), "");
    mkdirSync(join(out, `.plantgate-backup-${hostname()}-99999999-abcdef`));
    for (const iso of ["2026-01-01", "2026-01-02", "2026-01-03"]) {
      await backUp(backupOf(central, folder.path, { out, keep: 2, clock: at(iso) }));
    }
    expect(readdirSync(out).sort()).toEqual([
      "of-somebody-else.tar.zst",
      "plantgate-central-20260102T000000Z.tar.zst",
      "plantgate-central-20260103T000000Z.tar.zst",
    ]);
  });

  it("two of the same second have names of their own", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const out = `${folder.path}/kept/`;
    const clock = at("2026-01-01");
    const take = () => backUp(backupOf(central, folder.path, { out, keep: 3, clock }));
    const made = [...(await Promise.all([take(), take()])), await take(), await take()];
    expect(new Set(made.map(({ manifest }) => manifest.id)).size).toBe(4);
    expect(new Set(made.map(({ file }) => file)).size).toBe(4);
    expect(readdirSync(out)).toHaveLength(3);
    expect(readdirSync(out)).toContain(basename(made[3]!.file));
  });

  it("two that are to be one file leave the first one there", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const take = () => backUp(backupOf(central, folder.path));
    const made = await Promise.allSettled([take(), take()]);
    const whole = made.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    expect(made.flatMap((each) => (each.status === "rejected" ? [each.reason.code] : []))).toEqual(["CONFIG_INVALID"]);
    expect((await verify({ file: whole[0]!.file })).manifest.id).toBe(whole[0]!.manifest.id);
  });

  it.each(["as they are", "sealed"])("the one just made stays though the clock was ahead before, backups %s", async (how) => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const out = `${folder.path}/kept/`;
    const { publicKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    const recipient = how === "sealed" ? publicKey : undefined;
    const { send } = await openPlant(central);
    const made: string[] = [];
    for (const [number, iso] of ["2036-01-01", "2036-01-02", "2026-01-01", "2026-01-02"].entries()) {
      await send(`T-${number}`);
      const { file } = await backUp(backupOf(central, folder.path, { out, keep: 2, recipient, clock: at(iso) }));
      expect(existsSync(file)).toBe(true);
      made.push(file);
    }
    expect(readdirSync(out).sort()).toEqual(made.slice(2).map((file) => basename(file)));
  });

  it.each([
    ["of the same moment", "2026-01-01", "2026-01-01"],
    ["of which the later one holds more", "2026-01-01", "2026-01-02"],
    ["of which the earlier one holds more", "2026-01-02", "2026-01-01"],
  ])("two that are taken at once, %s, do not both delete the other", async (which, first, second) => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const out = `${folder.path}/kept/`;
    const { send } = await openPlant(central);
    const take = (iso: string) => backUp(backupOf(central, folder.path, { out, clock: at(iso) }));
    const one = await take(first);
    if (which !== "of the same moment") await send("T-1");
    const other = await take(second);
    // each has its name before the other looks for what is old
    expect(await dropOld(out, 1, basename(one.file), one.manifest)).toEqual([]);
    expect(await dropOld(out, 1, basename(other.file), other.manifest)).toEqual([one.file]);
    expect(existsSync(other.file)).toBe(true);
  });

  it("another central's stay, and what cannot be read", async () => {
    await using one = await startTestCentral();
    await using other = await startTestCentral();
    using folder = temporaryFolder();
    const out = `${folder.path}/kept/`;
    const theirs = await backUp(backupOf(other, folder.path, { out, keep: 1, clock: at("2026-01-01") }));
    writeFileSync(join(out, "plantgate-central-20260102T000000Z.tar.zst"), "no backup");
    const first = await backUp(backupOf(one, folder.path, { out, keep: 1, clock: at("2026-01-03") }));
    const second = await backUp(backupOf(one, folder.path, { out, keep: 1, clock: at("2026-01-04") }));
    expect(second.dropped).toEqual([first.file]);
    expect(existsSync(theirs.file)).toBe(true);
    expect(readdirSync(out)).toHaveLength(3);
  });
});
