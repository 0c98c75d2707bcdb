import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { backUp, restore } from "../../central/backup/main.ts";
import { systemClock } from "../../protocol/index.ts";
import { backupOf } from "../support/backups.ts";
import { startTestCentral, type TestCentral } from "../support/central.ts";
import { findChromium, launchChromium } from "../support/chromium.ts";
import { buildConsole } from "../support/console.ts";
import { temporaryFolder } from "../support/folder.ts";
import { pick } from "../support/messages.ts";
import { siteDocuments } from "../support/site-documents.ts";
import { openBrowser, openScreenshots } from "./screenshots.ts";

const executable = await findChromium();
const password = "a plant beside the river";

describe.skipIf(executable === undefined)("the recovery page", () => {
  const folder = temporaryFolder();
  const screenshots = openScreenshots();
  let browser: Browser;
  let central: TestCentral;

  beforeAll(async () => {
    process.stderr.write(`screenshots: ${screenshots.folder}\n`);
    const dist = join(folder.path, "console");
    await buildConsole(dist);
    central = await startTestCentral({ consoleDir: dist });
    browser = await launchChromium(executable as string);
  });
  afterAll(async () => {
    await browser?.close();
    await central?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  async function addPlant(site: string) {
    const gateway = await central.addSite(site);
    await central.admin("POST", `/v1/sites/${site}/revisions`, { files: siteDocuments({ site, send: ["pick.confirmed"] }) });
    const lane = gateway.lane("transaction");
    await gateway.hello([lane]);
    const send = async (count: number): Promise<void> => {
      for (let number = 0; number < count; number++) lane.append([pick(site, `${site}-${lane.last + 1}`)]);
      expect((await gateway.send(lane, lane.batch(lane.last - count + 1))).status).toBe(200);
    };
    const hello = () => gateway.hello([lane], undefined, ({ last }) => last);
    return { gateway, lane, send, hello };
  }
  async function signIn() {
    const link = (await central.admin<{ url: string }>("POST", "/v1/users/mira/links", {})).body.url;
    const opened = await openBrowser(browser, "light");
    await opened.page.goto(link);
    await opened.page.getByLabel("New password", { exact: true }).fill(password);
    await opened.page.getByLabel("New password, again").fill(password);
    await opened.page.getByRole("button", { name: "Set the password" }).click();
    await opened.page.getByRole("button", { name: "Signed in as mira. Account" }).waitFor();
    return opened;
  }

  it("says that nothing was restored, then what is stuck first and what no gateway brings back, then that all caught up", async () => {
    expect((await central.admin("POST", "/v1/users", { name: "mira", roles: ["viewer"] })).status).toBe(201);
    const before = await signIn();
    await before.page.getByRole("link", { name: "Recovery" }).click();
    await before.page.getByRole("heading", { name: "This central was never restored" }).waitFor();
    await before.page.getByText("No backup was taken yet").waitFor();
    await screenshots.take(before.page, "recovery-never", "light");

    const [gent, lyon, brno, pune, turku] = await Promise.all(["gent", "lyon", "brno", "pune", "turku"].map(addPlant));
    for (const plant of [gent, lyon, brno, pune, turku]) await plant!.send(5);
    const { file } = await backUp(backupOf(central, folder.path));
    for (const plant of [gent, lyon, brno]) await plant!.send(40);
    await central.stop();
    await restore({ file, dataDir: central.dataDir, replace: true, clock: systemClock });
    await central.restart();

    await turku!.hello();
    await lyon!.hello();
    expect((await lyon!.gateway.send(lyon!.lane, lyon!.lane.batch(6, 30))).status).toBe(200);
    await brno!.hello();
    brno!.lane.discard(6, 20, "lost-by-receiver");
    expect((await brno!.gateway.send(brno!.lane, brno!.lane.batch(6))).status).toBe(200);
    await gent!.hello();
    const { lane, epoch, last } = gent!.lane;
    await gent!.gateway.status({
      lanes: [
        { lane, epoch, last, acknowledged: last, waitingBytes: 100, stalled: "central says: central's storage cannot write now" },
      ],
      configuration: { reported: 3, state: "active" },
    });

    const { page, complaints } = await signIn();
    await page.goto(`${central.url}/recovery`);
    await page.getByRole("heading", { name: "1 site stuck" }).waitFor();
    const names = await page.locator(".recovery-site h3").allTextContents();
    expect(names).toEqual(["gent", "pune", "lyon", "brno", "turku"]);
    await page.getByText("40 of 40 are to come; its gateway says: central says: central's storage cannot write now").waitFor();
    await page.getByRole("img", { name: "lyon, transaction: 25 came again, 15 to come" }).waitFor();
    await page.getByText("15 of 40 never come: the gateway has not kept them").waitFor();
    await page.getByText(/It runs revision 3; this central knows up to 1/).waitFor();
    await page.getByRole("heading", { name: "What no gateway brings back" }).waitFor();
    await page.getByText(/Last good backup/).waitFor();
    await screenshots.take(page, "recovery-under-way", "light");
    await page.goto(`${central.url}/alarms`);
    await page.getByRole("row", { name: /^Restored/ }).waitFor();
    await screenshots.take(page, "recovery-alarms", "light");
    await page.getByRole("link", { name: "how far it is" }).click();
    await page.getByRole("heading", { name: "1 site stuck" }).waitFor();
    await page.setViewportSize({ width: 420, height: 900 });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.reload();
    await page.getByRole("heading", { name: "1 site stuck" }).waitFor();
    // of tabs that are wider than the screen the open one is in sight
    const tab = await page.getByRole("link", { name: "Recovery" }).boundingBox();
    expect((tab?.x ?? 999) + (tab?.width ?? 0)).toBeLessThanOrEqual(420);
    await screenshots.take(page, "recovery-narrow", "dark");
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(420);
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.emulateMedia({ colorScheme: "light" });

    await gent!.gateway.status({
      lanes: [{ lane, epoch, last, acknowledged: last, waitingBytes: 0 }],
      configuration: { reported: 1, state: "active" },
    });
    for (const [plant, from] of [
      [gent, 6],
      [lyon, 31],
    ] as const)
      expect((await plant!.gateway.send(plant!.lane, plant!.lane.batch(from))).status).toBe(200);
    await pune!.hello();
    await page.getByRole("heading", { name: "Caught up, with loss" }).waitFor();
    await page
      .getByText(/120 messages were lost with the old ledger, by the gateways' word: 105 came again, 15 never will/)
      .waitFor();
    await screenshots.take(page, "recovery-done", "light");
    expect(complaints).toEqual([]);
  });
});
