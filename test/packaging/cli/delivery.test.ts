import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { QueueReader } from "../../../gateway/queue/read.ts";
import { plantgate } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { released } from "../../support/messages.ts";
import { startPlantgate } from "../../support/process.ts";
import { delivery, openStore } from "../../support/queue-store.ts";

it("decides about deliveries at a running gateway, with the key of its folder, and records who and why", async () => {
  using folder = temporaryFolder();
  const dataDir = join(folder.path, "lyon");
  mkdirSync(dataDir);
  writeFileSync(
    join(folder.path, "central.pub"),
    generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }),
  );
  const event = released("hq", "hq-mo-1");
  const store = openStore(dataDir);
  const row = delivery({ line: JSON.stringify(event), messageId: event.id });
  store.commit([{ newDeliveries: [row, { ...row, key: "mo-2" }] }]);
  const unknown = { state: "unknown", attempts: 1, failures: 0, reason: "nobody can tell" } as const;
  store.commit([{ deliveryUpdates: [{ id: 1, ...unknown }], control: true }]);
  store.close();
  const common = [
    "--site",
    "lyon",
    "--data",
    dataDir,
    "--central",
    "http://127.0.0.1:9",
    "--central-key",
    join(folder.path, "central.pub"),
  ];
  await using gateway = startPlantgate(["gateway", ...common, "--http-port", "0"]);
  const { listener } = (await gateway.logged("gateway.process.started")) as { listener: string };
  expect(statSync(join(dataDir, "local.json")).mode & 0o077).toBe(0);

  const unsigned = await fetch(`${listener}/local/v1/deliveries/1/decision`, { method: "POST", body: "{}" });
  expect(unsigned.status).toBe(401);
  const decide = (what: string, id: string) =>
    plantgate(["delivery", what, id, "--data", dataDir, "--reason", "seen on the line", "--by", "shift lead"], {
      cwd: folder.path,
    });
  expect(await decide("done", "7")).toMatchObject({ code: 1, err: "plantgate: there is no delivery 7\n" });
  expect(await decide("done", "2")).toMatchObject({
    code: 1,
    err: "plantgate: delivery 2 waits for no decision: it is waiting\n",
  });
  expect(await decide("done", "1")).toMatchObject({ code: 0, out: "delivery 1: done\n" });
  using reader = new QueueReader(join(dataDir, "queue.sqlite"));
  const outcome = [...reader.messages("transaction")].map(({ line }) => JSON.parse(line).data)[0];
  expect(outcome).toMatchObject({ outcome: "delivered", detail: "said by shift lead: seen on the line" });
  expect(readFileSync(join(dataDir, "local.json"), "utf8")).toContain(listener);
});

it("says that the gateway has to run", async () => {
  using folder = temporaryFolder();
  const { code, err } = await plantgate(["delivery", "done", "1", "--data", ".", "--reason", "r"], { cwd: folder.path });
  expect(code).toBe(1);
  expect(err).toMatch(/local\.json cannot be read: is it a gateway's data folder/);
});
