import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { onceARun } from "./once-a-run.ts";

it("what is made once a run is made by the first who asks", async () => {
  const name = randomUUID();
  const ask = (said: string) => onceARun(name, async () => said);
  expect([await ask("first"), await ask("second")]).toEqual(["first", "first"]);
});

it("what cannot be made fails for all who ask, with the reason", async () => {
  const name = randomUUID();
  const ask = () => onceARun(name, () => Promise.reject(new Error("no room on the disk")));
  await expect(ask()).rejects.toThrow("no room on the disk");
  await expect(ask()).rejects.toThrow(`${name} could not be made: no room on the disk`);
});
