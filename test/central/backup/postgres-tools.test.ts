import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { requireTool } from "../../../central/backup/postgres-tools.ts";
import { temporaryFolder } from "../../support/folder.ts";

describe("PostgreSQL's own tools", () => {
  const { PATH } = process.env;
  afterEach(() => {
    process.env.PATH = PATH;
  });

  it("that are missing are named, with what to install", async () => {
    using folder = temporaryFolder();
    process.env.PATH = folder.path;
    await expect(requireTool("pg_dump", 17)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(
        /^pg_dump is not found on this machine: install .* version 17 or newer \(Debian: postgresql-client\)/,
      ),
    });
  });

  it("that are older than the server are refused, newer ones are taken", async () => {
    using folder = temporaryFolder();
    const tool = join(folder.path, "pg_dump");
    writeFileSync(tool, '#!/bin/sh\necho "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"\n');
    chmodSync(tool, 0o755);
    process.env.PATH = `${folder.path}:${PATH}`;
    await expect(requireTool("pg_dump", 17)).rejects.toThrow(/^pg_dump here is version 15, the server is version 17/);
    await expect(requireTool("pg_dump", 15)).resolves.toBeUndefined();
    await expect(requireTool("pg_dump", 14)).resolves.toBeUndefined();
  });
});
