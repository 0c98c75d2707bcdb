import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { LeakGuard } from "../../../packaging/doctor/leaks.ts";
import { harmless, harmlessKeys, redacted } from "../../../packaging/doctor/redact.ts";
import { knownSecrets, linesOf } from "../../../packaging/doctor/secrets.ts";
import { temporaryFolder } from "../../support/folder.ts";

it("of a unit nothing is taken that may hold a secret, however it is written", () => {
  const shown = [
    "ActiveState=active",
    "Environment=A=leak-1",
    " Environment=B=leak-2",
    "Environment = C=leak-3",
    "SetCredentialEncrypted=foo: \\",
    "  leak-4",
    "ExecStart={ path=/usr/bin/plantgate ; argv[]=/usr/bin/plantgate gateway --token leak-5 }",
    "PassEnvironment=leak-6",
    "Description=leak-7",
    "NRestarts=3",
  ];
  expect(harmless(shown.join("\n"))).toBe("ActiveState=active\nNRestarts=3\n");
  for (const key of harmlessKeys)
    expect(key).not.toMatch(/Environment|Credential|^Exec(Start|Stop|Reload|Condition)|Description/);
});

it("passwords in addresses go whole, also with an @ in them; what a log calls a token goes too", () => {
  for (const text of [
    "mqtt://u:p@leak-pw@host:1883/x",
    "https://leak-pw@host",
    "authorization: Bearer leak-pw",
    "login failed: password=leak-pw, user=x",
    '{"line":"GET /x?token=leak-pw&a=b"}',
    "hook?secret=leak-pw",
    "passwd=leak-pw",
  ])
    expect(redacted(text)).not.toContain("leak-pw");
  expect(redacted("mqtt://u:p@x@host:1883 down, tell ops@example")).toBe("mqtt://redacted@host:1883 down, tell ops@example");
  expect(redacted('{"line":"a?token=x"}')).toBe('{"line":"a?token=redacted"}');
});

it("knows what stands in files, and waits for none that somebody put there to hold root up", async () => {
  using folder = temporaryFolder();
  const [etc, dataDir] = [join(folder.path, "etc/plantgate"), join(folder.path, "data")];
  for (const each of [join(etc, "secrets-not-usable"), join(dataDir, "secrets")]) mkdirSync(each, { recursive: true });
  writeFileSync(join(etc, "secrets-not-usable/a:b"), "put-aside");
  writeFileSync(join(etc, "pgpass"), "db.example:5432:plantgate:central:pass\\:word\n");
  writeFileSync(join(dataDir, "secrets/wms"), "of-the-folder");
  symlinkSync(join(etc, "pgpass"), join(dataDir, "secrets/link"));
  execFileSync("mkfifo", [join(dataDir, "secrets/pipe"), join(dataDir, "local.json")]);
  const subject = { role: "gateway", dataDir, here: undefined, said: undefined, configFile: undefined } as const;
  expect(Object.fromEntries(await knownSecrets(subject, folder.path, undefined))).toEqual({
    "secret a:b": ["put-aside"],
    "secret wms": ["of-the-folder"],
    pgpass: ["pass\\:word", "pass:word"],
  });
});

it("a secret of several lines is found by one of them", () => {
  const secret = "first-line-of-it\nsecond-line-of-it\r\nshort\n";
  expect(linesOf(secret)).toEqual(["first-line-of-it", "second-line-of-it"]);
  expect(linesOf("one line alone")).toEqual([]);
  const guard = new LeakGuard(new Map([["wms", [secret, ...linesOf(secret)]]]));
  expect(guard.find(Buffer.from("journal: second-line-of-it is wrong"))).toMatchObject([{ secret: "wms" }]);
  // a certificate beside the key is known to everybody
  const certificate = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUabcdef\n-----END CERTIFICATE-----\n";
  expect(linesOf(`${certificate}-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIabc\n-----END PRIVATE KEY-----\n`)).toEqual([
    "MC4CAQAwBQYDK2VwBCIEIabc",
  ]);
});
