import { expect, it } from "vitest";
import { startTestCentral } from "../../support/central.ts";

it("refuses a second central on the same data folder, and keeps its identity over a restart", async () => {
  await using central = await startTestCentral();
  await expect(startTestCentral({ dataDir: central.dataDir })).rejects.toMatchObject({
    code: "DATA_FOLDER_LOCKED",
    message: expect.stringContaining("another central works on this data folder"),
  });
  const identity = async () => {
    const key = await (await fetch(`${central.url}/v1/signing-key`)).json();
    const health = await (await fetch(`${central.url}/health`)).json();
    return { key, health, token: central.adminToken };
  };
  const before = await identity();
  await central.restart();
  expect(await identity()).toEqual(before);
});
