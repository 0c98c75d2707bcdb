import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { DryRunView } from "../../central/http/api/sites.ts";
import type { MessagesAnswer } from "../../central/http/views.ts";
import { erpDocuments, plantDocuments, shortagePayload } from "../support/documents.ts";
import { startErpServer } from "../support/erp-server.ts";
import { until } from "../support/process.ts";
import { openSystem, reported } from "../support/system.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
let outDir: string;

// below node_modules, so that what is built finds its packages as it does in dist
beforeAll(() => {
  outDir = mkdtempSync(join(root, "node_modules", ".dist-test-"));
  execFileSync(
    process.execPath,
    [
      join(root, "node_modules", "tsup", "dist", "cli-default.js"),
      "--config",
      "packaging/tsup.config.ts",
      "--out-dir",
      outDir,
      "--silent",
    ],
    { cwd: root },
  );
});
afterAll(() => rmSync(outDir, { recursive: true, force: true }));

it("starts from what is built and passes one exchange", async () => {
  const launcher = join(outDir, "packaging", "cli", "launch.mjs");
  await using erp = await startErpServer();
  await using system = openSystem();
  const central = await system.central({ launcher });
  const lyon = await system.gateway("lyon", central, { launcher, secrets: { terminal: "floor-password" } });
  await system.gateway("hq", central, { launcher });
  await reported(central, "lyon", await central.push("lyon", plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:9" })));
  const documents = erpDocuments({ erpUrl: erp.url });
  const flows = (documents[0]!.spec as unknown as { flows: Record<string, { from: unknown }> }).flows;
  flows.picks!.from = { central: "shortage.reported" };
  await reported(central, "hq", await central.push("hq", documents));
  const body = shortagePayload("S-1");
  expect((await fetch(`${lyon.url}/in/hooks/shortages`, { method: "POST", body })).status).toBe(202);
  await until(
    () => erp.received,
    (received) => received.length === 1,
  );
  expect(erp.received[0]!.body).toMatchObject({ shortageId: "S-1", qtyShort: { value: "2.5", unitCode: "KGM" } });
  expect((await central.get<MessagesAnswer>("/v1/messages?type=mfg.shortage.reported.v1")).messages).toHaveLength(1);

  // the threads of a dry run, and the one in which changes are judged, lie where they are looked for
  const changed = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:9" });
  const { shortages } = (changed[0]!.spec as unknown as { flows: Record<string, { map: string }> }).flows;
  shortages!.map = shortages!.map.replace("payload.cause", "$uppercase(payload.cause)");
  const files = changed.map((document) => ({ name: `${document.kind}.yaml`, text: JSON.stringify(document) }));
  const change = await central.post<{ number: number }>("/v1/changes", { title: "Causes", environment: "dev", files });
  const asked = await central.post<DryRunView>("/v1/sites/lyon/dry-runs", { change: change.body.number });
  expect(asked).toMatchObject({ status: 202 });
  const ran = await until(
    () => central.get<DryRunView>(`/v1/sites/lyon/dry-runs/${asked.body.id}`),
    ({ state }) => state !== "asked",
  );
  expect(ran).toMatchObject({
    state: "done",
    result: { inputs: 1, different: 1, flows: [{ fields: [{ path: "data.cause", before: "empty-bin", after: "EMPTY-BIN" }] }] },
  });
});

it("starts the queue's worker from one file and Node's own modules: a gateway waits for it at each start", () => {
  const text = readFileSync(join(outDir, "gateway", "queue", "worker.js"), "utf8");
  const modules = [...text.matchAll(/^\s*(?:import|export)\b(?:[^"';]*?\sfrom)?\s*"([^"]+)"|\bimport\("([^"]+)"\)/gm)];
  const names = modules.map(([, statically, dynamically]) => statically ?? dynamically);
  expect(names).toContain("node:sqlite");
  expect(names.filter((name) => !isBuiltin(name!))).toEqual([]);
});
