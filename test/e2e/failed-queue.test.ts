import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import type { MessagesAnswer } from "../../central/http/views.ts";
import { plantDocuments, shortagePayload } from "../support/documents.ts";
import { until } from "../support/process.ts";
import { openSystem, reported } from "../support/system.ts";

it("acknowledges nothing and ends when its queue cannot be written, and goes on after a restart", async () => {
  await using system = openSystem();
  const central = await system.central();
  const lyon = await system.gateway("lyon", central, { secrets: { terminal: "floor-password" } });
  const post = (url: string, txn: string) => fetch(`${url}/in/hooks/shortages`, { method: "POST", body: shortagePayload(txn) });
  // a sender would take 404 for good
  expect((await post(lyon.url, "S-0")).status).toBe(503);
  await reported(central, "lyon", await central.push("lyon", plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:9" })));
  expect((await fetch(`${lyon.url}/in/hooks/nothing`, { method: "POST" })).status).toBe(404);
  expect((await post(lyon.url, "S-1")).status).toBe(202);

  // a writer that never lets go stands for a disk that does not answer: the commit fails after the busy timeout
  const blocker = new DatabaseSync(join(lyon.dataDir, "queue.sqlite"));
  blocker.exec("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE");
  const refused = post(lyon.url, "S-2").then(
    (response) => response.status,
    () => "no answer",
  );
  expect(await lyon.process.ended).toBe(70);
  expect([503, "no answer"]).toContain(await refused);
  blocker.exec("ROLLBACK");
  blocker.close();

  const again = await lyon.restart();
  expect((await post(again.url, "S-3")).status).toBe(202);
  const recorded = await until(
    async () => (await central.get<MessagesAnswer>("/v1/messages?type=mfg.shortage.reported.v1")).messages,
    (messages) => messages.length >= 2,
  );
  expect(recorded.map(({ event }) => (event.data as { shortageId: string }).shortageId)).toEqual(["S-1", "S-3"]);
});
