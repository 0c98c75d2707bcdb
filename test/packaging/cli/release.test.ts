import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { plantgateHere } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { makePackage } from "../../support/releases.ts";

it("release add judges by the Ed25519 keys of a file, and passes over what is none", async () => {
  using folder = temporaryFolder();
  const { file, bytes, signature } = makePackage("plantgate-gateway_0.2.0_amd64.deb");
  const write = (name: string, text: string | Buffer) => writeFileSync(join(folder.path, name), text);
  write(file, bytes);
  write(`${file}.sig`, signature);
  write("token", "t");
  const pem = (kind: "ed25519" | "x25519"): string =>
    (kind === "ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("x25519")).publicKey
      .export({ type: "spki", format: "pem" })
      .toString();
  const garbage = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
  const add = () =>
    plantgateHere(["release", "add", file, "--keys", "keys.pem", "--central", "http://127.0.0.1:9", "--token-file", "token"], {
      cwd: folder.path,
    });
  for (const keys of ["", garbage, pem("x25519")]) {
    write("keys.pem", keys);
    expect(await add()).toMatchObject({ code: 1, err: "plantgate: keys.pem holds no public key of Ed25519 (PEM)\n" });
  }
  write("keys.pem", garbage + pem("x25519") + pem("ed25519"));
  expect(await add()).toMatchObject({
    code: 1,
    err: `plantgate: ${file} is not signed by any of these keys; nothing was sent\n`,
  });
});
