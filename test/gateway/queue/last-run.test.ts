import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { lastRun } from "../../../gateway/queue/last-run.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { temporaryFolder } from "../../support/folder.ts";

it("a queue tells whether it was open on this machine since that came up", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "queue.sqlite");
  expect(lastRun(path)).toBe("none");
  const queue = await Queue.open({ path, site: "lyon", onFailure: () => {} });
  await queue.close();
  expect(lastRun(path)).toBe("here");
  // on other hardware, or behind a restart of the machine
  expect(lastRun(path, "another-run-of-the-kernel")).toBe("elsewhere");
  const copy = join(folder.path, "copy.sqlite");
  cpSync(path, copy);
  expect(lastRun(copy, "another-run-of-the-kernel")).toBe("elsewhere");
  writeFileSync(copy, "damaged");
  expect(lastRun(copy)).toBe("elsewhere");
});
