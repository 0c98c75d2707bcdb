import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { RolloutView } from "../../central/http/api/rollouts.ts";
import { startTestCentral, type TestCentral } from "../support/central.ts";
import { findChromium, launchChromium } from "../support/chromium.ts";
import { buildConsole } from "../support/console.ts";
import { Fleet } from "../support/fleet.ts";
import { temporaryFolder } from "../support/folder.ts";
import type { TestGateway } from "../support/gateway-client.ts";
import { signInAs } from "../support/people.ts";
import { addPackage, makePackage, putChunk } from "../support/releases.ts";
import { openBrowser, openScreenshots } from "./screenshots.ts";

const executable = await findChromium();

/** Told in order; each step stands on those before it. */
describe.skipIf(executable === undefined)("a version of gateways, from a package to a plant", () => {
  const folder = temporaryFolder();
  const screenshots = openScreenshots();
  const gateways = new Map<string, TestGateway>();
  let browser: Browser;
  let central: TestCentral;
  let person: Awaited<ReturnType<typeof openBrowser>>;
  let second: Awaited<ReturnType<typeof openBrowser>>;

  beforeAll(async () => {
    process.stderr.write(`screenshots: ${screenshots.folder}\n`);
    const dist = join(folder.path, "console");
    await buildConsole(dist);
    // gateways report here only when the test lets them: on a slow machine none of them may fall silent for that
    central = await startTestCentral({ consoleDir: dist, leaseSeconds: 3600, parts: { version: "0.1.4" } });
    for (const [name, environment] of [
      ["lyon", "prod"],
      ["porto", "prod"],
      ["bench", "test"],
      ["old-mill", "prod"],
    ] as const) {
      await central.admin("POST", "/v1/sites", { name, environment });
      const gateway = await central.addSite(name);
      await gateway.hello();
      gateways.set(name, gateway);
      await says(name, "0.1.0", name === "old-mill" ? undefined : { state: "none" });
    }
    const sender = await signInAs(central, "rolf", { roles: ["engineer"] });
    await addPackage(central, makePackage("plantgate-gateway_0.2.0_amd64.deb", 48_211), sender);
    await addPackage(central, makePackage("plantgate-0.2.0-linux-arm64.tar.gz", 51_000), sender);
    const late = makePackage("plantgate-gateway_0.3.0_amd64.deb", 3_400_000);
    const { file, size, sha256, signature } = late;
    const begun = await sender.call<{ upload: string }>("POST", "/v1/releases/uploads", { file, size, sha256, signature });
    await putChunk(central, begun.body.upload, 0, late.bytes.subarray(0, 1024 * 1024));
    browser = await launchChromium(executable as string);
    person = await openBrowser(browser, "light");
    second = await openBrowser(browser, "dark", 1100);
    for (const [{ page }, name, roles] of [
      [person, "mira", ["engineer", "approver"]],
      [second, "tomas", ["approver"]],
    ] as const) {
      await central.admin("POST", "/v1/users", { name, roles });
      const link = await central.admin<{ url: string }>("POST", `/v1/users/${name}/links`, { setsPassword: false });
      await page.goto(link.body.url);
      await page.getByRole("button", { name: `Signed in as ${name}. Account` }).waitFor();
    }
  });
  afterAll(async () => {
    await browser?.close();
    await central?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== "fail") return;
    await screenshots.take(person.page, "failed-mira", "light");
    await screenshots.take(second.page, "failed-tomas", "dark");
  });

  async function says(name: string, version: string, upgrade?: object): Promise<void> {
    const how = upgrade ? { platform: "linux-x64", installed: "deb", upgrade } : { platform: "windows-x64" };
    await gateways.get(name)?.status({ gatewayVersion: version, ...how });
  }

  it("is listed with its packages, beside what each site runs", async () => {
    const { page } = person;
    await page.getByRole("link", { name: "Releases" }).click();
    await page.getByRole("heading", { level: 1, name: "Releases" }).waitFor();
    await page.getByRole("row", { name: /^0\.2\.0/ }).waitFor();
    await page.getByRole("row", { name: /^old-mill.*by hand/ }).waitFor();
    await screenshots.take(page, "releases", "light");
    await second.page.goto(`${central.url}/releases`);
    await second.page.getByRole("row", { name: /^0\.2\.0/ }).waitFor();
    await screenshots.take(second.page, "releases", "dark");
  });

  it("that was begun and has not come whole is shown, and taken away there", async () => {
    const { page } = person;
    const row = page.getByRole("row", { name: /^plantgate-gateway_0\.3\.0_amd64\.deb/ });
    await row.getByText("1.0 MiB of 3.2 MiB").waitFor();
    await row.getByRole("button", { name: "Take plantgate-gateway_0.3.0_amd64.deb away" }).click();
    await row.waitFor({ state: "detached" });
  });

  it("goes to an environment that asks for review once somebody else has read it", async () => {
    const { page } = person;
    await page.getByRole("button", { name: "Roll out 0.2.0" }).click();
    const dialog = page.getByRole("dialog", { name: "Roll out 0.2.0" });
    const environment = dialog.getByRole("combobox", { name: "Environment" });
    expect(await environment.inputValue(), "where a version goes first").toBe("test");
    await environment.click();
    await page.getByRole("option", { name: "prod" }).click();
    await dialog.getByText("2 sites at another version, 1 left to be upgraded by hand").waitFor();
    await dialog
      .getByLabel("Why it goes to prod without having run in test")
      .fill("The bench broke down; lyon goes first and is watched from here.");
    await screenshots.take(page, "releases-roll-out", "light");
    await dialog.getByRole("button", { name: "Roll out" }).click();
    await page.getByRole("heading", { level: 1, name: "Gateways to 0.2.0" }).waitFor();
    await page.getByText("plantgate-gateway_0.2.0_amd64.deb").waitFor();
    await screenshots.take(page, "releases-change", "light");
    await second.page.goto(page.url());
    await second.page.getByRole("button", { name: "Approve" }).click();
    const approval = second.page.getByRole("dialog");
    await approval.getByRole("button", { name: "Approve" }).click();
    await second.page.getByRole("link", { name: /^Rollout \d+/ }).click();
    await second.page.getByText("0.1.0 → 0.2.0 · runs 0.1.0").first().waitFor();
    await says("lyon", "0.1.0", { state: "downloading", version: "0.2.0", bytes: 20_000, size: 48_211 });
    await second.page.getByText("runs 0.1.0, downloading").waitFor();
    await page.goto(`${central.url}/releases`);
    await page.getByText("0.2.0 downloading").waitFor();
    await screenshots.take(page, "releases-downloading", "light");
    const reason = "it did not become ready within 60 s";
    await says("lyon", "0.1.0", { state: "rolled-back", version: "0.2.0", reason, at: "2026-01-31T08:00:00.000Z" });
    await second.page
      .getByText(/Rolled back|Putting back/)
      .first()
      .waitFor();
    await second.page
      .getByText(/gave it back: it did not become ready/)
      .first()
      .waitFor();
    await screenshots.take(second.page, "releases-rollout", "dark");
    await page.getByText("0.2.0 gone back").waitFor();
    await screenshots.take(page, "releases-gone-back", "light");
    expect([...person.complaints, ...second.complaints]).toEqual([]);
  });

  it("goes by waves over forty sites until one is not well with it, then back everywhere", async () => {
    const sites = Array.from({ length: 40 }, (_, index) => `plant-${String(index + 1).padStart(2, "0")}`);
    const fleet = await Fleet.of(central, sites);
    await addPackage(central, makePackage("plantgate-gateway_0.1.0_amd64.deb", 4000));
    // of the second wave: the first has one site, 10 % of forty are four
    fleet.bad.add("plant-03");
    const strategy = { waves: [{ count: 1 }, { percent: 10 }, { percent: 50 }], gate: { window: "1s", settle: "10s" } };
    const body = { title: "Gateways to 0.2.0", environment: "dev", release: "0.2.0", strategy };
    const { number } = (await central.admin<{ number: number }>("POST", "/v1/changes", body)).body;
    const { rollout } = (await central.admin<{ rollout: number }>("POST", `/v1/changes/${number}/submit`, {})).body;
    const view = async () => (await central.admin<RolloutView>("GET", `/v1/rollouts/${rollout}`)).body;
    for (const { page } of [person, second]) await page.goto(`${central.url}/rollouts/${rollout}`);
    await fleet.until(async () => (await view()).wave === 1);
    await screenshots.take(second.page, "releases-forty-second-wave", "dark");
    await fleet.until(async () => (await view()).state === "rolled-back");
    const { counts, plan } = await view();
    expect(counts).toEqual({ "put-back": 4, waiting: 36 });
    expect(plan.flatMap((wave) => wave.sites).filter(({ reportedVersion }) => reportedVersion !== "0.1.0")).toEqual([]);
    for (const [{ page }, scheme] of [
      [person, "light"],
      [second, "dark"],
    ] as const) {
      await page
        .getByText(/plant-03: its gateway gave it back/)
        .first()
        .waitFor();
      await page.getByText("4 put back, 36 never told").first().waitFor();
      await screenshots.take(page, "releases-forty-back", scheme);
      await page.goto(`${central.url}/alarms`);
      await page
        .getByRole("row", { name: /^Rolled back/ })
        .first()
        .waitFor();
      await screenshots.take(page, "alarms", scheme);
    }
    await fleet.says("plant-07", "0.3.0", { state: "kept", version: "0.3.0" });
    await fleet.says("plant-08", "0.0.9", { state: "none" });
    await person.page.goto(`${central.url}/releases`);
    await person.page.getByText("plant-07 runs a later version than central, which runs 0.1.4").waitFor();
    await person.page.getByText(/plant-08 runs an older version than any/).waitFor();
    await screenshots.take(person.page, "releases-beside", "light");
    await person.page.setViewportSize({ width: 420, height: 900 });
    for (const name of ["releases", "alarms"]) {
      await person.page.goto(`${central.url}/${name}`);
      await person.page.getByRole("row").nth(1).waitFor();
      await screenshots.take(person.page, `${name}-narrow`, "light");
      expect(await person.page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(420);
    }
    expect([...person.complaints, ...second.complaints]).toEqual([]);
  });
});
