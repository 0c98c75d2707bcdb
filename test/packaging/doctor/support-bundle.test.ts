import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { LeakGuard, spellingsOf } from "../../../packaging/doctor/leaks.ts";
import type { CheckFinding } from "../../../protocol/index.ts";
import { faketimeLibrary } from "../../fault/clock/faketime.ts";
import { LeakSearch, spellingsOf as spellingsOfTests } from "../../support/leak-search.ts";
import { requireService } from "../../support/services.ts";
import { openPlant } from "./plant/plant.ts";

const library = faketimeLibrary();
const isEquipped = library !== undefined && process.getuid?.() === 0 && (await requireService("mosquitto")) !== undefined;
const planted = `pl+"anted/ü~${"7Kq".repeat(4)}`;

describe.skipIf(!isEquipped)("plantgate support-bundle", () => {
  it("collects states, counts and configuration, and no secret in any spelling; where one stands in the configuration it writes nothing", async () => {
    await using plant = await openPlant(library as string);
    const { dataDir, folder, run } = plant;
    plant.root.putSecret("terminal", planted);
    await plant.configure({ purpose: "a control text, which is no secret; mqtt://u:of-others@host?token=of-others" });
    const out = join(folder, "support.tar.gz");
    const made = await run(["support-bundle", "--out", out]);
    expect(made).toMatchObject({ code: 0 });
    expect(statSync(out).mode & 0o777).toBe(0o600);

    const unpacked = join(folder, "unpacked");
    mkdirSync(unpacked);
    execFileSync("tar", ["-xzf", out, "-C", unpacked]);
    const text = (name: string): string => readFileSync(join(unpacked, "plantgate-support", name), "utf8");
    const token = (JSON.parse(readFileSync(join(dataDir, "local.json"), "utf8")) as { token: string }).token;
    const keys = readFileSync(join(dataDir, "identity/gateway.key"), "utf8")
      .split("\n")
      .filter((line) => /^[\w+/=]{40,}$/.test(line));
    const search = new LeakSearch([planted, "value-of-scheduler", token, ...keys, "a control text, which is no secret"]);
    search.folder("bundle", unpacked);
    search.bytes("archive", readFileSync(out));
    for (const secret of [planted, "value-of-scheduler", token, ...keys]) expect(search.findsOf(secret)).toEqual([]);
    expect(search.findsOf("a control text, which is no secret").length).toBeGreaterThan(0);
    expect(keys.length).toBe(2);
    // what nobody here knows as a secret, and looks like one
    expect(text("configuration.json")).toContain("mqtt://redacted@host?token=redacted");

    const { findings, role } = JSON.parse(text("doctor.json")) as { role: string; findings: CheckFinding[] };
    expect(role).toBe("gateway");
    expect(findings.filter(({ level }) => level === "fault")).toEqual([]);
    expect(JSON.parse(text("configuration.json"))).toMatchObject({
      bundle: { connectors: { floor: { config: { users: [{ password: { secret: "terminal" } }] } } } },
    });
    expect(JSON.parse(text("status.json"))).toMatchObject({ kind: "running", status: { link: "online" } });
    expect(JSON.parse(text("queue.json"))).toMatchObject({ depth: { deadLetters: 0 } });
    expect(JSON.parse(text("secrets.json"))).toMatchObject({ names: { terminal: true, scheduler: true } });
    expect(JSON.parse(text("files.json"))).toContainEqual(expect.objectContaining({ path: "secrets/scheduler", mode: "600" }));
    const names = execFileSync("tar", ["-tzf", out], { encoding: "utf8" }).trim().split("\n");
    for (const name of names.filter((each) => !each.endsWith("README.txt")))
      expect(text("README.txt")).toContain(name.replace("plantgate-support/", ""));
    expect(made.out).toContain("configuration.json");

    const again = await run(["support-bundle", "--out", out]);
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining("is there already") });

    // somebody wrote it where everybody reads, and encoded at that
    await plant.configure({ purpose: `password ${Buffer.from(planted).toString("base64")}` });
    const other = join(folder, "other.tar.gz");
    const refused = await run(["support-bundle", "--out", other]);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("configuration.json holds the value of secret terminal (plain in base64)");
    expect(refused.err).not.toContain(planted);
    expect(existsSync(other)).toBe(false);
    const without = await run(["support-bundle", "--out", other, "--without", "configuration.json"]);
    expect(without).toMatchObject({ code: 0 });
  });
});

it("knows every spelling that the tests' own search knows", () => {
  for (const text of [planted, "simple-value", 'a"b\\c d']) {
    const own = new Set(spellingsOf(text).map(([, bytes]) => bytes.toString("hex")));
    for (const [name, bytes] of spellingsOfTests(text)) expect(own.has(bytes.toString("hex")), name).toBe(true);
    for (const [, bytes] of spellingsOfTests(text))
      expect(
        new LeakGuard(new Map([["it", [text]]])).find(Buffer.concat([Buffer.from("before "), bytes, Buffer.from(" after")])),
      ).toHaveLength(1);
  }
});
