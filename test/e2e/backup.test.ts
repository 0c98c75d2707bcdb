import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { RecoveryAnswer } from "../../central/http/api/recovery.ts";
import type { MessagesAnswer } from "../../central/http/views.ts";
import { plantgate } from "../support/command.ts";
import { erpDocuments, plantDocuments, shortagePayload } from "../support/documents.ts";
import { startErpServer } from "../support/erp-server.ts";
import { until } from "../support/process.ts";
import { type CentralProcess, openSystem, reported } from "../support/system.ts";

const recorded = async (central: CentralProcess): Promise<string[]> =>
  (await central.get<MessagesAnswer>("/v1/messages?type=mfg.shortage.reported.v1&limit=500")).messages.map(
    ({ event }) => (event.data as { shortageId: string }).shortageId,
  );

it("brings a central whose disk died back from a backup taken while plants sent: nothing is lost, no receiver gets anything twice", async () => {
  await using erp = await startErpServer();
  await using system = openSystem();
  const central = await system.central();
  const port = Number(new URL(central.url).port);
  const [lyon] = await Promise.all([
    system.gateway("lyon", central, { secrets: { terminal: "floor-password" } }),
    system.gateway("hq", central),
  ]);
  const documents = erpDocuments({ erpUrl: erp.url });
  Object.assign((documents[0]!.spec as { flows: object }).flows, {
    shortages: {
      purpose: "What is missing",
      from: { central: "shortage.reported" },
      to: [{ connector: "erp", post: "/shortages" }],
    },
  });
  await reported(central, "lyon", await central.push("lyon", plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:9" })));
  await reported(central, "hq", await central.push("hq", documents));
  const sent: string[] = [];
  const send = async (): Promise<void> => {
    const txn = `S-${sent.length + 1}`;
    expect((await fetch(`${lyon.url}/in/hooks/shortages`, { method: "POST", body: shortagePayload(txn) })).status).toBe(202);
    sent.push(txn);
  };
  const atReceiver = (): string[] => erp.received.map(({ body }) => (body as { shortageId: string }).shortageId);
  for (let count = 0; count < 5; count++) await send();

  const file = join(system.folder, "central.tar.zst");
  let backing = true;
  const made = plantgate(["backup", "--data", central.dataDir, "--out", file], { cwd: system.folder }).finally(() => {
    backing = false;
  });
  while (backing) await send();
  const { code, err } = await made;
  expect(err).toBe("");
  expect(code).toBe(0);
  for (let count = 0; count < 20; count++) await send();
  await until(atReceiver, (all) => all.length >= sent.length);
  expect(await recorded(central)).toHaveLength(sent.length);

  await central.process.kill("SIGKILL");
  // what comes while there is no central waits in the plant
  await send();
  const restored = await plantgate(["restore", file, "--data", central.dataDir, "--replace"], { cwd: system.folder });
  expect(restored.err).toContain(`Start it with: plantgate central --data ${central.dataDir}`);
  expect(restored.code).toBe(0);
  expect(readdirSync(central.dataDir)).toContain("ledger.db");
  const back = await system.central({ port });
  await until(
    () => recorded(back),
    (all) => all.length >= sent.length,
  );
  const recovery = await until(
    async () => (await back.get<RecoveryAnswer>("/v1/recovery")).recovery,
    (view) => view?.done === true,
  );
  expect(recovery).toMatchObject({ lost: 0, counts: { "caught-up": 2 } });
  // at least what was sent after the backup had ended
  expect(recovery?.missed).toBeGreaterThanOrEqual(20);
  expect(recovery?.again).toBe(recovery?.missed);
  await send();
  await until(atReceiver, (all) => all.includes(sent.at(-1)!));
  expect((await recorded(back)).toSorted()).toEqual(sent.toSorted());
  expect(atReceiver().toSorted()).toEqual(sent.toSorted());
});
