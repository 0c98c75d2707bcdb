import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { type Ended, plantgate, plantgateHere } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { followLink } from "../../support/people.ts";

const password = "correct horse battery";

describe("people on the command line", () => {
  let central: TestCentral;
  let folder: { path: string; [Symbol.dispose](): void };
  let admin: string;
  /** Somebody's own folder, also as home. */
  const home = (name: string): string => {
    const path = join(folder.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const asAdmin = (...args: string[]): Promise<Ended> => plantgateHere(args, { cwd: admin });
  const asAnna = (...args: string[]): Promise<Ended> => plantgateHere(args, { cwd: home("anna") });

  beforeAll(async () => {
    central = await startTestCentral();
    folder = temporaryFolder();
    admin = home("admin");
    mkdirSync(join(admin, ".plantgate"));
    const connection = { url: central.url, tokenFile: join(central.dataDir, "admin.token") };
    writeFileSync(join(admin, ".plantgate", "cli.json"), JSON.stringify(connection));
    const added = await asAdmin(
      "user",
      "add",
      "anna",
      "--role",
      "engineer",
      "approver",
      "--environment",
      "dev",
      "test",
      "-o",
      "json",
    );
    expect(added).toMatchObject({ code: 0, err: "" });
    const { url } = JSON.parse(added.out) as { url: string };
    const anna = await followLink(central, url);
    expect((await anna.call("PUT", "/v1/session/password", { next: password })).status).toBe(200);
  });
  afterAll(async () => {
    await central[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  it("are listed as table, JSON and YAML, and disabled, enabled, unlocked and given another link", async () => {
    expect((await asAdmin("user", "list")).out).toMatch(/^anna +engineer,approver +dev,test +true +false +- /m);
    expect(JSON.parse((await asAdmin("user", "list", "-o", "json")).out)).toMatchObject([
      { name: "anna", createdBy: "admin-token" },
    ]);
    expect(parse((await asAdmin("user", "list", "-o", "yaml")).out)).toMatchObject([{ name: "anna" }]);
    expect((await asAdmin("user", "disable", "anna", "-o", "json")).out).toContain('"disabled": true');
    expect((await asAdmin("user", "enable", "anna", "-o", "json")).out).toContain('"disabled": false');
    expect(await asAdmin("user", "unlock", "anna")).toMatchObject({ code: 0 });
    expect((await asAdmin("user", "link", "anna", "-o", "yaml")).out).toMatch(/^url: http:\/\/.*\/signin\?code=/);
    expect(await asAdmin("user", "disable", "nobody")).toMatchObject({
      code: 1,
      err: expect.stringContaining('there is no user "nobody"'),
    });
    expect(await asAdmin("user", "list", "-o", "xml")).toMatchObject({ code: 2 });
  });

  it("sign in with a password that stands in no argument, and keep a token that only they can read", async () => {
    const cwd = home("anna");
    const wrong = await plantgate(["login", "--central", central.url], { cwd, input: "anna\nsomething else\n" });
    expect(wrong).toMatchObject({ code: 1, out: "", err: expect.stringContaining("the user or the password is wrong") });
    const { code, out, err } = await plantgate(["login", "--central", central.url], { cwd, input: `anna\n${password}\n` });
    expect({ code, out }).toEqual({ code: 0, out: "" });
    expect(err).toMatch(/^Signed in at http:\S+ as anna until .*: the token is in .*\n$/);
    const file = join(cwd, ".plantgate", "cli.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(cwd, ".plantgate")).mode & 0o777).toBe(0o700);
    const { token } = JSON.parse(readFileSync(file, "utf8")) as { token: string };
    expect(token).toMatch(/^pgt_/);
    expect(err).not.toContain(token);
    const listed = await asAnna("token", "list", "-o", "json");
    expect(JSON.parse(listed.out)).toMatchObject([
      {
        user: "anna",
        purpose: expect.stringMatching(/^plantgate login on /),
        roles: ["engineer", "approver"],
        environments: ["dev", "test"],
      },
    ]);
    expect(await asAnna("user", "list")).toMatchObject({ code: 1, err: expect.stringContaining("takes the role admin") });
    expect((await central.admin<{ entries: { action: string }[] }>("GET", "/v1/audit?action=session")).body.entries).toHaveLength(
      1,
    );
  });

  it("send no password where it could be read on its way", async () => {
    const sent = await plantgate(["login", "--central", "http://central.example.com", "--user", "anna"], {
      cwd: home("other"),
      input: password,
    });
    expect(sent).toMatchObject({ code: 1, err: expect.stringContaining("is not https") });
  });

  it("make tokens for tools, and revoke them", async () => {
    const cwd = home("anna");
    const args = [
      "token",
      "create",
      "--central",
      central.url,
      "--user",
      "anna",
      "--purpose",
      "nightly export",
      "--role",
      "engineer",
      "--days",
      "2",
    ];
    const made = await plantgate([...args, "--out", "export.token", "-o", "json"], { cwd, input: password });
    expect(made).toMatchObject({ code: 0, err: "" });
    expect(made.out).not.toContain("pgt_");
    expect(statSync(join(cwd, "export.token")).mode & 0o777).toBe(0o600);
    const { id } = JSON.parse(made.out) as { id: string };
    const used = ["audit", "list", "--central", central.url, "--token-file", "export.token", "--action", "token", "-o", "json"];
    expect(JSON.parse((await asAnna(...used)).out)).toMatchObject([
      { action: "token.made" },
      { action: "token.made", subject: `token/${id}` },
    ]);
    expect((await asAdmin("token", "revoke", id)).out).toMatch(/revokedAt +2/);
    expect(await asAnna(...used)).toMatchObject({ code: 1, err: expect.stringContaining("this token was revoked") });
    const wider = await plantgate([...args, "--role", "admin"], { cwd, input: password });
    expect(wider).toMatchObject({ code: 1, err: expect.stringContaining("a token holds no more than its user") });
  });

  it("read the audit log, and judge it by what they kept of it", async () => {
    const all = JSON.parse((await asAdmin("audit", "list", "-o", "json")).out) as { number: number; hash: string }[];
    expect(all.map(({ number }) => number)).toEqual(all.map((_, i) => i + 1));
    expect((await asAdmin("audit", "list", "--limit", "2")).out.split("\n")).toHaveLength(4);
    const kept = JSON.parse((await asAdmin("audit", "verify", "-o", "json")).out) as { entries: number; head: string };
    expect(kept).toMatchObject({ entries: all.length, head: all.at(-1)?.hash, badAt: null });
    expect(await asAdmin("audit", "verify", "--head", kept.head, "--at", String(kept.entries))).toMatchObject({
      code: 0,
      err: "",
    });
    const other = await asAdmin("audit", "verify", "--head", "0".repeat(64), "--at", "3");
    expect(other).toMatchObject({ code: 1, err: "Entry 3 is not what was written.\n" });
    expect(await asAdmin("audit", "verify", "--head", "abc", "--at", "3")).toMatchObject({ code: 2 });
  });
});
