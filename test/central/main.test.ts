import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { Logger } from "../../central/telemetry/logger.ts";
import { startTestCentral } from "../support/central.ts";
import { temporaryFolder } from "../support/folder.ts";

const child = fileURLToPath(new URL("../support/asked-to-stop-child.ts", import.meta.url));

it.skipIf(process.platform === "win32")("central ends well when its supervisor stops it as soon as it is up", async () => {
  using folder = temporaryFolder();
  const central = spawn(process.execPath, [child, folder.path], { stdio: ["ignore", "ignore", "inherit"] });
  expect(await once(central, "close")).toEqual([0, null]);
});

it("central makes itself ready to be stopped before its log says that it is up", async () => {
  const done: string[] = [];
  const note = ({ event }: { event: string }): void => void done.push(event);
  const log: Logger = { debug: note, info: note, warn: note, error: note };
  await using _central = await startTestCentral({ parts: { log, beforeUp: () => done.push("ready to be stopped") } });
  expect(done.slice(-2)).toEqual(["ready to be stopped", "central.process.started"]);
});
