import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { CompletenessAnswer, ExceptionView, MessagesAnswer, SitesAnswer } from "../../central/http/views.ts";
import { eventually, type TestCentral } from "../support/central.ts";
import { type Ended, plantgateHere } from "../support/command.ts";
import { orderPayload } from "../support/documents.ts";
import { temporaryFolder } from "../support/folder.ts";
import { pick } from "../support/messages.ts";
import { listenerOf, openHq, startCentralAt, startErp, startGateway } from "../support/moving.ts";
import { storages } from "../support/storages.ts";

const fine = (ended: Ended): Ended => {
  expect(ended).toMatchObject({ code: 0 });
  return ended;
};
const site = async (central: TestCentral) =>
  (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites.find(({ name }) => name === "hq");
const orders = async (central: TestCentral): Promise<string[]> =>
  (await central.admin<MessagesAnswer>("GET", "/v1/messages?type=mfg.production-order.released.v1&limit=500")).body.messages.map(
    ({ event }) => (event.data as { moId: string }).moId,
  );
const transactions = async (central: TestCentral) =>
  (await central.admin<CompletenessAnswer>("GET", "/v1/completeness?site=hq")).body.lanes.filter(
    ({ lane }) => lane === "transaction",
  );
const keyStates = async (central: TestCentral): Promise<string[]> =>
  (await central.admin<{ keys: { state: string }[] }>("GET", "/v1/sites/hq/keys")).body.keys.map(({ state }) => state).sort();
const release = async (listener: string, id: number): Promise<number> =>
  (await fetch(`${listener}/in/erp/orders`, { method: "POST", body: JSON.stringify(orderPayload({ id })) })).status;
const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `hq-mo-${from + index}`);

describe.each(await storages())("a gateway that moves to new hardware, with central on %s", (storage) => {
  it("sends and delivers what waited once and in order, and what is left behind is stopped", async () => {
    using folder = temporaryFolder();
    await using central = await startCentralAt(storage);
    await using erp = await startErp();
    const { dataDir: old, lyon } = await openHq(central, erp.url, folder.path);
    const cli = (...args: string[]): Promise<Ended> => plantgateHere(args, { cwd: folder.path });
    const fresh = join(folder.path, "new");
    const copy = join(folder.path, "copy");

    // deliveries wait for the ERP, orders for central
    await using first = startGateway(old);
    await first.logged("agent.bundle.applied").catch(() => {});
    await eventually(
      async () => (await site(central))?.reportedRevision,
      (revision) => revision === 1,
    );
    const lane = lyon.lane("transaction");
    const txns = ["T-1", "T-2", "T-3", "T-4", "T-5"];
    lane.append(txns.map((txn) => pick("lyon", txn)));
    await lyon.hello([lane]);
    expect((await lyon.send(lane)).status).toBe(200);
    await eventually(
      async () => (await site(central))?.deliveries?.waiting,
      (waiting) => waiting === 5,
    );
    await central.stop();
    const listener = await listenerOf(first);
    for (let id = 1; id <= 10; id++) expect(await release(listener, id)).toBe(202);
    expect((await cli("gateway", "move-out", "--data", old, "--out", "hq.move")).err).toContain("stop it first");
    expect(existsSync(join(old, "moved-out"))).toBe(false);
    await first.kill("SIGKILL");
    cpSync(old, copy, { recursive: true });

    // the move, while central is away
    const { out: fingerprint } = fine(await cli("gateway", "move-in", "--request", "new.json", "--data", fresh));
    const twin = join(folder.path, "twin");
    cpSync(fresh, twin, { recursive: true });
    const moved = fine(await cli("gateway", "move-out", "--data", old, "--to", "new.json", "--out", "hq.move"));
    expect(moved.err.replaceAll(/\s/g, "")).toContain(fingerprint.trim());
    const refused = startGateway(old);
    expect(await refused.ended).toBe(2);
    expect(refused.output.join("\n")).toContain("was moved out of site");
    fine(await cli("gateway", "move-in", "hq.move", "--data", fresh));
    expect(fine(await cli("gateway", "move-in", "hq.move", "--data", fresh)).out).toContain("nothing was changed");
    fine(await cli("gateway", "move-in", "hq.move", "--data", twin));

    await using second = startGateway(fresh);
    const here = await listenerOf(second);
    expect(await release(here, 11)).toBe(202);
    erp.open();
    await eventually(
      async () => erp.booked.length,
      (count) => count >= 5,
    );
    expect(erp.booked).toEqual(txns);

    await central.restart();
    await second.logged("identity.key.changed");
    await eventually(
      () => orders(central),
      (found) => found.length >= 11,
    );
    expect(await orders(central)).toEqual(numbered(1, 11));
    expect(await keyStates(central)).toEqual(["active", "moved"]);
    // one epoch, no hole
    expect(await transactions(central)).toMatchObject([{ lost: 0, missing: 0, predecessor: null }]);

    // the old disk, as it was before the move: nothing of it shows that it moved
    const recorded = (await transactions(central))[0]?.recorded;
    await using clone = startGateway(copy);
    await clone.logged("link.session.fenced");
    expect(await release(await listenerOf(clone), 99)).toBe(202);
    await clone.kill("SIGTERM");
    await using again = startGateway(copy);
    await again.logged("gateway.start.fenced");
    // and the same file, taken in twice
    await using other = startGateway(twin);
    expect(await other.logged("link.session.fenced")).toMatchObject({
      reason: expect.stringContaining("taken in a second time"),
    });
    expect(await release(here, 12)).toBe(202);
    await eventually(
      () => orders(central),
      (found) => found.includes("hq-mo-12"),
    );
    expect(await orders(central)).toEqual(numbered(1, 12));
    expect(erp.booked).toEqual(txns);
    expect((await transactions(central))[0]).toMatchObject({ recorded: (recorded ?? 0) + 1, lost: 0 });
    const { exceptions } = (await central.admin<{ exceptions: ExceptionView[] }>("GET", "/v1/exceptions")).body;
    expect(exceptions).toContainEqual(expect.objectContaining({ kind: "clone", site: "hq", target: "moved" }));
    expect((await site(central))?.condition).not.toBe("fenced");
  });
});

it("runs where it was again when the file was not used, and only when a person says so", async () => {
  using folder = temporaryFolder();
  await using central = await startCentralAt("sqlite");
  await using erp = await startErp();
  const { dataDir } = await openHq(central, erp.url, folder.path);
  const cli = (...args: string[]): Promise<Ended> => plantgateHere(args, { cwd: folder.path });
  {
    await using gateway = startGateway(dataDir);
    await gateway.logged("link.session.began");
  }
  const { err } = fine(await cli("gateway", "move-out", "--data", dataDir, "--out", "hq.move"));
  const code = /\n {2}([A-Z0-9-]{26,})\n/.exec(err)?.[1] ?? "";
  expect(code.replaceAll("-", "")).toHaveLength(26);
  expect(readFileSync(join(folder.path, "hq.move")).includes("BEGIN PRIVATE KEY")).toBe(false);
  expect((await cli("gateway", "move-out", "--data", dataDir, "--out", "again.move")).err).toContain("was moved out before");
  expect((await cli("enroll", "--request", "hq.request", "--data", dataDir)).err).toContain("was moved out of site");
  const { plantgate } = await import("../support/command.ts");
  const undo = (input: string) => plantgate(["gateway", "move-out", "--undo", "--data", dataDir], { cwd: folder.path, input });
  expect(await undo("no\n")).toMatchObject({ code: 1 });
  expect(existsSync(join(dataDir, "moved-out"))).toBe(true);
  expect(await undo("hq\n")).toMatchObject({ code: 0 });
  {
    await using gateway = startGateway(dataDir);
    await gateway.logged("link.session.began");
  }
  // and a code opens it as well
  const fresh = join(folder.path, "new");
  rmSync(join(folder.path, "hq.move"));
  const second = fine(await cli("gateway", "move-out", "--data", dataDir, "--out", "hq.move")).err;
  const { writeFileSync } = await import("node:fs");
  writeFileSync(join(folder.path, "wrong"), code);
  writeFileSync(join(folder.path, "right"), (/\n {2}([A-Z0-9-]{26,})\n/.exec(second)?.[1] ?? "").toLowerCase());
  expect((await cli("gateway", "move-in", "hq.move", "--data", fresh, "--code-file", "wrong")).err).toContain("not the code");
  fine(await cli("gateway", "move-in", "hq.move", "--data", fresh, "--code-file", "right"));
  await using moved = startGateway(fresh);
  await moved.logged("identity.key.changed");
  expect(await keyStates(central)).toEqual(["active", "moved"]);
});
