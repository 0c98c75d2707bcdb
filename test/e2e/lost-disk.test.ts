import { cpSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { LossesAnswer } from "../../central/http/api/losses.ts";
import type { ExceptionView, MessagesAnswer, SitesAnswer } from "../../central/http/views.ts";
import { eventually, type TestCentral } from "../support/central.ts";
import { type Ended, plantgateHere } from "../support/command.ts";
import { orderPayload } from "../support/documents.ts";
import { temporaryFolder } from "../support/folder.ts";
import { pick } from "../support/messages.ts";
import { listenerOf, openHq, startCentralAt, startErp, startGateway } from "../support/moving.ts";
import { startPlantgate } from "../support/process.ts";
import { storages } from "../support/storages.ts";

const fine = (ended: Ended): Ended => {
  expect(ended).toMatchObject({ code: 0 });
  return ended;
};
const site = async (central: TestCentral) =>
  (await central.admin<SitesAnswer>("GET", "/v1/sites")).body.sites.find(({ name }) => name === "hq");
const release = async (listener: string, id: number): Promise<number> =>
  (await fetch(`${listener}/in/erp/orders`, { method: "POST", body: JSON.stringify(orderPayload({ id })) })).status;
const orders = async (central: TestCentral): Promise<string[]> =>
  (await central.admin<MessagesAnswer>("GET", "/v1/messages?type=mfg.production-order.released.v1&limit=500")).body.messages.map(
    ({ event }) => (event.data as { moId: string }).moId,
  );

describe.each(await storages())("a gateway whose disk died, with central on %s", (storage) => {
  it("is enrolled anew, goes on, and what was lost is stated, listed and sent again", async () => {
    using folder = temporaryFolder();
    await using central = await startCentralAt(storage);
    await using erp = await startErp();
    const { dataDir, lyon } = await openHq(central, erp.url, folder.path);
    const tokenFile = join(folder.path, "admin.token");
    writeFileSync(tokenFile, central.adminToken);
    const inPlant = (...args: string[]): Promise<Ended> => plantgateHere(args, { cwd: folder.path });
    const at = (...args: string[]): Promise<Ended> => inPlant(...args, "--central", central.url, "--token-file", tokenFile);

    await using first = startGateway(dataDir);
    await eventually(
      async () => (await site(central))?.reportedRevision,
      (revision) => revision === 1,
    );
    const listener = await listenerOf(first);
    expect(await release(listener, 1)).toBe(202);
    const lane = lyon.lane("transaction");
    lane.append(["T-1", "T-2", "T-3"].map((txn) => pick("lyon", txn)));
    await lyon.hello([lane]);
    await lyon.send(lane);
    // acknowledged by the gateway, not delivered to the ERP; reports have told of all that is recorded
    await eventually(
      async () => [
        (await site(central))?.deliveries?.waiting,
        (await site(central))?.downlinkWaiting,
        (await orders(central)).length,
      ],
      ([deliveries, downlink, recorded]) => deliveries === 3 && downlink === 0 && recorded === 1,
    );
    await central.stop();
    // taken in, and never seen again
    expect(await release(listener, 2)).toBe(202);
    await first.kill("SIGKILL");
    const dead = join(folder.path, "dead");
    renameSync(dataDir, dead);
    await central.restart();

    const enroll = async (data: string): Promise<void> => {
      const token = fine(await at("site", "token", "hq")).out.trim();
      await using enrolling = startPlantgate(["enroll", "--central", central.url, "--token", token, "--data", data]);
      const line = await eventually(
        async () => enrolling.output.find((each) => each.includes("--fingerprint")) ?? "",
        (each) => each !== "",
      );
      fine(await at("site", "confirm", "hq", "--fingerprint", line.trim().split(" ").at(-1) ?? ""));
      expect(await enrolling.ended).toBe(0);
    };
    await enroll(dataDir);
    const { keys } = (await central.admin<{ keys: { state: string }[] }>("GET", "/v1/sites/hq/keys")).body;
    expect(keys.map(({ state }) => state).sort()).toEqual(["active", "replaced"]);
    await using second = startGateway(dataDir);
    const here = await listenerOf(second);
    // as soon as its configuration came
    await eventually(
      () => release(here, 4),
      (status) => status === 202,
    );
    await eventually(
      () => orders(central),
      (found) => found.includes("hq-mo-4"),
    );
    expect(await orders(central)).not.toContain("hq-mo-2");

    const { lanes, downlink } = (await central.admin<LossesAnswer>("GET", "/v1/sites/hq/losses")).body;
    const transaction = lanes.find((each) => each.lane === "transaction");
    // the one order that it took in while it had no link: nobody can know of it
    expect(transaction).toMatchObject({ count: 0, saidAt: expect.any(String) });
    expect(transaction?.summary).toContain("what it took in after that is not known");
    expect(downlink).toMatchObject({ upTo: 3 });

    const shown = fine(await at("site", "losses", "hq")).out;
    expect(shown).toContain("what it took in after that is not known");
    const sequences = shown
      .split("\n")
      .filter((row) => row.includes("mfg.pick.confirmed.v1"))
      .map((row) => row.trim().split(/\s+/)[0] as string);
    expect(sequences.toSorted()).toEqual(["1", "2", "3"]);
    erp.open();
    fine(await at("site", "send-again", "hq", "--sequence", ...sequences));
    await eventually(
      async () => erp.booked.length,
      (count) => count === 3,
    );
    expect(erp.booked).toEqual(["T-1", "T-2", "T-3"]);

    // the disk is found to run again: it delivers nothing, and stops for good
    const revived = join(folder.path, "revived");
    cpSync(dead, revived, { recursive: true });
    await using ghost = startGateway(revived);
    expect(await ghost.logged("link.session.fenced")).toMatchObject({
      reason: expect.stringContaining("another gateway was enrolled"),
    });
    expect(await release(await listenerOf(ghost), 5)).toBe(202);
    await ghost.kill("SIGTERM");
    await using again = startGateway(revived);
    await again.logged("gateway.start.fenced");
    await again.kill("SIGTERM");
    expect(erp.booked).toEqual(["T-1", "T-2", "T-3"]);
    const { exceptions } = (await central.admin<{ exceptions: ExceptionView[] }>("GET", "/v1/exceptions")).body;
    expect(exceptions).toContainEqual(expect.objectContaining({ kind: "clone", site: "hq", target: "replaced" }));
    expect((await site(central))?.condition).not.toBe("fenced");

    // until it is enrolled in the other's place: what it alone has comes in
    await second.kill("SIGTERM");
    await enroll(revived);
    await using back = startGateway(revived);
    await back.logged("link.session.began");
    await eventually(
      () => orders(central),
      (found) => found.includes("hq-mo-2") && found.includes("hq-mo-5"),
    );
  });
});
