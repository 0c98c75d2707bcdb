import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findChromium, launchChromium } from "../../support/chromium.ts";
import { buildConsole, openWatchedPage } from "../../support/console.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { type Answers, type ConsoleServer, startConsoleServer } from "./console-server.ts";
import {
  alarmedSite,
  connector,
  drainingSite,
  lane,
  message,
  ordersAnswer,
  orderView,
  orderWithReports,
  releasedMessage,
  site,
  sitesAnswer,
  unknownSite,
} from "./fixtures.ts";

const executable = await findChromium();

describe.skipIf(executable === undefined)("the console", () => {
  const folder = temporaryFolder();
  const dist = join(folder.path, "console");
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let server: ConsoleServer | undefined;
  let complaints: string[];
  let hosts: Set<string>;

  beforeAll(async () => {
    await buildConsole(dist);
    browser = await launchChromium(executable as string);
  });
  afterAll(async () => {
    await browser?.close();
    folder[Symbol.dispose]();
  });
  beforeEach(async () => {
    ({ context, page, complaints, hosts } = await openWatchedPage(browser));
  });
  afterEach(async () => {
    await context.close();
    await server?.[Symbol.asyncDispose]();
  });

  async function open(path: string, answers: Partial<Answers>): Promise<ConsoleServer> {
    server = await startConsoleServer(dist, answers);
    await page.goto(`${server.url}${path}`);
    return server;
  }
  const card = (name: string) => page.getByRole("article", { name });

  describe("sites", () => {
    it("never shows a site that fell silent as online, though its last numbers looked well", async () => {
      await open("/", { sites: () => sitesAnswer([site("lyon"), unknownSite("porto")]) });
      await card("porto").getByText("Unknown", { exact: true }).waitFor();
      expect(await card("porto").innerText()).not.toMatch(/online/i);
      expect(await card("porto").innerText()).toMatch(/lease ended 2\d s ago/);
      expect(
        await card("porto")
          .getByText(/last said/i)
          .count(),
      ).toBeGreaterThan(0);
      expect(await card("lyon").innerText()).toMatch(/Online/);
    });

    it("puts what needs a person first", async () => {
      await open("/", { sites: () => sitesAnswer([site("aalen"), drainingSite("lyon"), unknownSite("porto")]) });
      await card("porto").waitFor();
      expect(await page.getByRole("article").getByRole("heading", { level: 2 }).allInnerTexts()).toEqual([
        "porto",
        "lyon",
        "aalen",
      ]);
    });

    it("shows both revisions where they differ, and why a gateway refused one", async () => {
      const refused = {
        desiredRevision: 14,
        configurationState: "refused",
        configurationReason: "flows.orders: no connector scheduler",
      } as const;
      await open("/", { sites: () => sitesAnswer([site("gent", refused), drainingSite("lyon"), site("porto")]) });
      await card("gent").getByText("Refused by the gateway").waitFor();
      expect(await card("gent").innerText()).toMatch(/runs\s+r12\s+should run\s+r14/);
      expect(await card("gent").innerText()).toContain("flows.orders: no connector scheduler");
      expect(await card("lyon").innerText()).toMatch(/runs\s+r12\s+should run\s+r13\s+Applying/);
      expect(await card("porto").innerText()).not.toContain("should run");
    });

    it("shows backlog, lag, dead letters, unknown outcomes and a clock that is off", async () => {
      await open("/", { sites: () => sitesAnswer([drainingSite("lyon", 18_432)]) });
      await card("lyon").getByText("Draining").waitFor();
      const words = (await card("lyon").innerText()).replaceAll(/\s+/g, " ");
      for (const part of [
        "18,432",
        "21 min 24 s",
        "Dead letters 2",
        "Unknown outcome 1",
        "Age unknown 3",
        "Expired since start 2",
        "Deliveries waiting 7",
        "Downlink waiting 34",
        "Clock behind 4 s",
      ])
        expect(words).toContain(part);
    });

    it("shows how complete a site's record is, and each lane's sentence behind it", async () => {
      const telemetry = {
        ...lane("telemetry"),
        summary: "1 to 48,211 recorded; 3,001–3,400 discarded by budget (age); nothing missing",
      };
      const lost = { ...lane("transaction"), summary: "1 to 900 recorded; 3 missing: central's own counts disagree" };
      await open("/", {
        sites: () =>
          sitesAnswer([
            site("aalen"),
            site("gent", { lanes: [lane("transaction"), telemetry] }),
            site("lyon", { lanes: [lost] }),
          ]),
      });
      await card("gent").getByText("Nothing missing, with gaps of known reason").waitFor();
      expect(await card("aalen").innerText()).toContain("Nothing missing");
      expect(await card("lyon").innerText()).toContain("Incomplete");
      expect(await card("gent").innerText()).toContain("3,001–3,400 discarded by budget (age)");
      await card("gent")
        .getByRole("button", { name: /Record/ })
        .click();
      expect(await card("gent").innerText()).toContain("1 to 120,400 recorded; nothing missing");
    });

    it("shows a site's alarms with their number and time, and why it does not drain", async () => {
      await open("/", { sites: () => sitesAnswer([alarmedSite("lyon"), site("porto")]) });
      const alarms = card("lyon").getByRole("list", { name: "Alarms" });
      await alarms.waitFor();
      const words = (await alarms.innerText()).replaceAll(/\s+/g, " ");
      for (const part of ["Clone?", "A gateway with an older session", "3×", "Discarded", "400×", "ago"])
        expect(words).toContain(part);
      expect(await card("lyon").innerText()).toContain("was recorded for 24 s: central answers 503");
      expect(await card("porto").getByRole("list", { name: "Alarms" }).count()).toBe(0);
    });

    it("shows a change without a reload", async () => {
      let sites = [site("lyon")];
      const central = await open("/", { sites: () => sitesAnswer(sites) });
      await card("lyon").getByText("Online", { exact: true }).waitFor();
      sites = [unknownSite("lyon")];
      central.notify();
      await card("lyon").getByText("Unknown", { exact: true }).waitFor();
    });

    it("says how old it is and calls nothing online once central stops answering", async () => {
      const central = await open("/", { sites: () => sitesAnswer([site("lyon")]) });
      await card("lyon").getByText("Online", { exact: true }).waitFor();
      await central.vanish();
      await page.getByRole("alert").getByText("No answer from central for").waitFor();
      await card("lyon").getByText("was online").waitFor();
      expect(await page.getByText("Online", { exact: true }).count()).toBe(0);
      expect(await page.getByText("Live", { exact: true }).count()).toBe(0);
    });

    it("asks to sign in where the browser has no session, and goes on to what was wanted", async () => {
      await open("/orders/hq-mo-42", { session: false, order: () => orderWithReports(7) });
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      expect(await page.getByRole("main").innerText()).toContain("/orders/hq-mo-42");
      await page.getByLabel("User").fill("mira");
      await page.getByLabel("Password", { exact: true }).fill("a long password");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("list", { name: /What happened/ }).waitFor();
    });

    it("says so when there is no site yet", async () => {
      await open("/", {});
      await page.getByRole("heading", { name: "No sites yet" }).waitFor();
    });

    it("opens a site's connectors by keyboard", async () => {
      const broken = connector("wms", "mqtt", "down", "connection refused");
      await open("/", { sites: () => sitesAnswer([site("lyon", { connectors: [connector("press", "opcua"), broken] })]) });
      await card("lyon").waitFor();
      const button = card("lyon").getByRole("button", { name: /Connectors/ });
      for (let presses = 0; presses < 20 && !(await button.evaluate((element) => element === document.activeElement)); presses++)
        await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await card("lyon")
        .getByRole("row", { name: /wms mqtt Down .* connection refused/ })
        .waitFor();
    });
  });

  describe("an order", () => {
    const order = () => orderWithReports(7);

    it("is found by its number and shows its way from the ERP to the press and back", async () => {
      await open("/", {
        sites: () => sitesAnswer([site("lyon")]),
        orders: ordersAnswer,
        order: (id) => (id === "WH/MO/00042" ? order() : undefined),
      });
      await card("lyon").waitFor();
      await page.keyboard.press("/");
      await page.keyboard.type("WH/MO/0004");
      await page.getByRole("option", { name: /WH\/MO\/00042/ }).click();
      await page.getByRole("heading", { name: "WH/MO/00042" }).waitFor();
      expect(new URL(page.url()).pathname).toBe("/orders/WH%2FMO%2F00042");
      const steps = await page.getByRole("listitem").allInnerTexts();
      const at = (words: string) => steps.findIndex((step) => step.includes(words));
      expect(at("Released by the ERP, revision 1")).toBe(0);
      expect(at("Press PRESS-7 took the order")).toBeGreaterThan(at("Recorded by central"));
      expect(at("Booked by the ERP")).toBeGreaterThan(at("Press PRESS-7 took the order"));
      expect(steps[at("Recorded by the gateway of hq")]).toMatch(/\d\d:\d\d:\d\d\.\d{3}\s*\+412 ms/);
    });

    it("opens with Enter on what was typed, also under an address with plain slashes", async () => {
      const central = await open("/", { orders: ordersAnswer, order: (id) => (id === "WH/MO/00042" ? order() : undefined) });
      await page.getByPlaceholder("Order number, such as WH/MO/00042").fill("WH/MO/00042");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "WH/MO/00042" }).waitFor();
      await page.goto(`${central.url}/orders/WH/MO/00042`);
      await page.getByRole("heading", { name: "WH/MO/00042" }).waitFor();
    });

    it("shows a message's data and envelope by keyboard alone", async () => {
      await open("/orders/hq-mo-42", { order });
      const rows = page.getByRole("list", { name: /What happened/ }).getByRole("button");
      await rows.first().focus();
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("Enter");
      const panel = page.getByRole("dialog");
      await panel.waitFor();
      expect(await panel.getByRole("region", { name: "Data of the message" }).innerText()).toContain(
        '"orderName": "WH/MO/00042"',
      );
      expect(await panel.innerText()).toMatch(/sequence\s+4200/);
      await page.keyboard.press("Escape");
      await panel.waitFor({ state: "hidden" });
    });

    it("opens a message by a click on its dot, too", async () => {
      await open("/orders/hq-mo-42", { order });
      await page.locator(".dot-area").nth(2).click();
      await page.getByRole("dialog").getByText("Released: 100 FG-HSG for lyon, revision 1").waitFor();
    });

    it("shows all of eighty messages, and only the chosen types", async () => {
      const eighty = orderWithReports(79);
      await open("/orders/hq-mo-42", { order: () => eighty });
      const rows = page.locator("[data-opens]");
      await rows.first().waitFor();
      expect(await rows.count()).toBe(80);
      await page.getByRole("button", { name: /^scrap reported/ }).click();
      expect(await rows.count()).toBe(67);
      expect(await page.getByText("Scrapped 0.4 KGM").count()).toBe(0);
    });

    it("counts what was refused and what nobody knows, and marks it in words", async () => {
      await open("/orders/hq-mo-42", { order: () => orderWithReports(13) });
      await page
        .getByRole("button", { name: /outcome unknown\)/ })
        .first()
        .waitFor();
      expect(await page.getByRole("button", { name: /refused\)/ }).count()).toBe(1);
      expect((await page.locator(".facts").innerText()).replaceAll(/\s+/g, " ")).toMatch(/Refused 1 time Outcome unknown 1 time/);
    });

    it("shows a delivery as a step of its message; the report of it only when asked for", async () => {
      const report = message(
        "d-1",
        "mfg.delivery.completed.v1",
        "lyon",
        "delivery completed",
        releasedMessage(Date.now()).hops.slice(0, 1),
      );
      await open("/orders/hq-mo-42", { order: () => orderView([releasedMessage(Date.now() - 60_000), report]) });
      await page.getByRole("button", { name: /Press PRESS-7 took the order/ }).waitFor();
      expect(await page.locator('[data-message="d-1"]').count()).toBe(0);
      await page.getByRole("button", { name: /^delivery completed/ }).click();
      expect(await page.locator('[data-message="d-1"]').count()).toBe(1);
    });

    it("that central never heard of leads to those that are near", async () => {
      const central = await open("/orders/WH%2FMO%2F00099", { orders: ordersAnswer });
      await page.getByRole("heading", { name: "Central has heard nothing of WH/MO/00099" }).waitFor();
      await page.getByRole("link", { name: /WH\/MO\/00043/ }).waitFor();
      central.answers.order = () => order();
      await page.getByRole("list", { name: /What happened/ }).waitFor();
    });
  });

  it("asks nobody but central, and complains about nothing", async () => {
    const eighty = orderWithReports(79);
    const central = await open("/", {
      sites: () => sitesAnswer([site("lyon"), drainingSite("gent"), unknownSite("porto")]),
      order: () => eighty,
    });
    await card("porto").waitFor();
    await page.goto(`${central.url}/orders/hq-mo-42`);
    await page
      .locator("[data-opens]")
      .first()
      .click({ position: { x: 200, y: 15 } });
    await page.getByRole("dialog").waitFor();
    expect([...hosts]).toEqual(["127.0.0.1"]);
    expect(complaints).toEqual([]);
  });

  it("follows the system's colours until a person chooses", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await open("/", { sites: () => sitesAnswer([site("lyon")]) });
    await card("lyon").waitFor();
    const scheme = () => page.locator("html").getAttribute("data-mantine-color-scheme");
    expect(await scheme()).toBe("dark");
    await page.getByRole("button", { name: /Colours: as the system/ }).click();
    expect(await scheme()).toBe("light");
    await page.reload();
    await card("lyon").waitFor();
    expect(await scheme()).toBe("light");
  });
});
