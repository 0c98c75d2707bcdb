import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { systemErrorSentence } from "../../../packaging/cli/system-error.ts";
import { plantgateHere } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";

it("says in a sentence what is wrong with a file that somebody named", async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "file");
  writeFileSync(file, "");
  const verify = (path: string) => plantgateHere(["backup", "verify", path], { cwd: folder.path });
  expect(await verify(`${file}.no`)).toMatchObject({ code: 1, out: "", err: `plantgate: ${file}.no is not there\n` });
  const below = `${file}/below`;
  expect((await verify(below)).err).toBe(`plantgate: ${below} lies below something that is no folder\n`);
});

it("leaves alone what is no file's fault", () => {
  expect(systemErrorSentence(Object.assign(new Error("refused"), { code: "ECONNREFUSED", port: 1 }))).toBeUndefined();
  expect(systemErrorSentence(new Error("else"))).toBeUndefined();
});
