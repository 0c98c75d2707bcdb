import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type Bundle, known } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { look, said } from "./place.ts";

it("names a secret in whose place a folder lies: no right of its owner mends that", async () => {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, "secrets/scheduler"), { recursive: true, mode: 0o700 });
  const config = { type: "http", url: "http://localhost", auth: { bearer: { secret: "scheduler" } } };
  const bundle = { site: "lyon", connectors: { scheduler: { config } }, flows: {} } as unknown as Bundle;
  const findings = await look(["secrets"], {
    place: { dataDir: folder.path },
    known: { bundle: async () => bundle, configuration: async () => known({ bundle, state: {} as never }) },
  });
  expect(said(findings)).toEqual(["fault|secrets|scheduler|a folder lies in the place of its file"]);
});
