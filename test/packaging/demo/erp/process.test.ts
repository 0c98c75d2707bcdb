import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";

const entry = new URL("../../../../packaging/demo/simulators/erp/entry.ts", import.meta.url).pathname;

it("runs as a process of its own, says where it is without saying a key it was given, and ends cleanly when told to", async () => {
  const folder = mkdtempSync(join(tmpdir(), "erp-"));
  const log = join(folder, "erp.ndjson");
  const child = spawn(process.execPath, [entry, "--log", log, "--erp", "hq"], {
    env: { ...process.env, ERP_API_KEY: "given" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const { url, database, ...more } = JSON.parse(line) as { url: string; database: string };
    expect(more).toEqual({});
    const response = await fetch(`${url}/json/2/res.users/context_get`, {
      method: "POST",
      headers: { authorization: "bearer given", "x-odoo-database": database, "content-type": "application/json" },
      body: "{}",
    });
    expect(await response.json()).toMatchObject({ lang: "en_US" });
    const version = await fetch(`${url}/web/version`);
    expect(await version.json()).toMatchObject({ version: "19.0" });
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
    expect(readFileSync(log, "utf8")).toBe("");
  } finally {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});
