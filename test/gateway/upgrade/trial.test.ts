import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { noteWhenWell, ownTrial } from "../../../gateway/upgrade/trial.ts";
import type { Condition } from "../../../gateway/upgrade/well.ts";
import { temporaryFolder } from "../../support/folder.ts";

const begun = "2026-01-01T00:00:00.000Z";
const note = { version: "0.2.0", from: "0.1.0", starts: 1, mostStarts: 3, begun, watchMs: 60_000 };
const before = { online: true, up: ["broker"] };
const trial = { version: "0.2.0", begun, watchMs: 60_000, before };
const well: Condition = { link: "online", connectors: [{ name: "broker", state: "up" }] };
const ill: Condition = { link: "online", connectors: [{ name: "broker", state: "down" }] };

describe("a program", () => {
  it("is on trial where the updater's note names its version, until that is decided", () => {
    using folder = temporaryFolder();
    const file = join(folder.path, "trial.json");
    writeFileSync(file, JSON.stringify({ ...note, before }));
    expect(ownTrial(folder.path, "0.2.0")).toEqual(trial);
    expect(ownTrial(folder.path, "0.1.0")).toBeUndefined();
    expect(ownTrial(undefined, "0.2.0")).toBeUndefined();
    const last = join(folder.path, "last-upgrade.json");
    writeFileSync(last, JSON.stringify({ version: "0.2.0", outcome: "kept", begun: "2025-01-01T00:00:00.000Z" }));
    expect(ownTrial(folder.path, "0.2.0")).toEqual(trial);
    writeFileSync(last, JSON.stringify({ version: "0.2.0", outcome: "kept", begun }));
    expect(ownTrial(folder.path, "0.2.0")).toBeUndefined();
    rmSync(last);
    for (const text of ["", "{", "[]", '{"version":"0.2.0"}']) {
      writeFileSync(file, text);
      expect(ownTrial(folder.path, "0.2.0")).toBeUndefined();
    }
  });
});

/** Runs until it notes, or until so much time has passed. */
async function noted(folder: string, condition: (at: number) => Condition, forMs: number) {
  let at = 0;
  const stopping = new AbortController();
  const settled: number[] = [];
  const clock = {
    // a clock on the wall that somebody sets all the time
    now: () => (at % 2000 === 0 ? 0 : Date.UTC(2100)),
    monotonic: () => at,
    sleep: async (ms: number) => {
      at += ms;
      if (at > forMs) stopping.abort();
    },
  };
  const deps = { dataDir: folder, condition: () => condition(at), clock, log: openLogger({ level: "silent", site: "lyon" }) };
  await noteWhenWell(trial, { ...deps, onSettled: () => settled.push(at) }, stopping.signal);
  const mark = join(folder, "healthy-0.2.0");
  return { at, settled: settled[0], mark: existsSync(mark) ? readFileSync(mark, "utf8").trim() : undefined };
}

describe("a gateway on trial", () => {
  it("notes that it was well for the watch, by the name of the trial, and clears marks of others", async () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "healthy-0.1.0"), "long ago");
    expect(await noted(folder.path, () => well, 600_000)).toEqual({ at: 60_000, settled: 60_000, mark: begun });
    expect(existsSync(join(folder.path, "healthy-0.1.0"))).toBe(false);
  });

  it("notes it as soon as what was up before is up again, and lets nothing wait for that for ever", async () => {
    using folder = temporaryFolder();
    const seen = await noted(folder.path, (at) => (at < 300_000 ? ill : well), 600_000);
    expect(seen).toEqual({ at: 300_000, settled: 120_000, mark: begun });
  });

  it("notes nothing while it is not well", async () => {
    using folder = temporaryFolder();
    expect(await noted(folder.path, () => ill, 200_000)).toMatchObject({ mark: undefined, settled: 120_000 });
  });
});
