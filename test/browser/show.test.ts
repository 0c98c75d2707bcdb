import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startTestCentral, type TestCentral } from "../support/central.ts";
import { findChromium, launchChromium } from "../support/chromium.ts";
import { buildConsole } from "../support/console.ts";
import { temporaryFolder } from "../support/folder.ts";
import { startPlantgate } from "../support/process.ts";
import { openSystem, type System } from "../support/system.ts";
import { openBrowser, openScreenshots } from "./screenshots.ts";

const executable = await findChromium();
const password = { mira: "a plant beside the river", tomas: "pallets roll to the dock" } as const;

const template = `apiVersion: plantgate/v1
kind: Template
metadata:
  name: small-plant
  owner: integration@example.com
  purpose: Shortages to the centre
spec:
  connectors:
    hooks: { type: http }
  flows:
    shortages:
      purpose: What is missing
      from: { connector: hooks, webhook: /shortages }
      as: shortage.reported
      map: '{ "shortageId": payload.txn, "moId": payload.order, "item": payload.sku, "qtyShort": $quantity(payload.short, "C62"), "cause": payload.cause, "reportedAt": payload.at }'
      to: [{ central: true }]
`;
const siteText = `apiVersion: plantgate/v1
kind: Site
metadata:
  name: lyon
  owner: integration@example.com
  purpose: Housings and pumps
  labels: { environment: test, region: eu }
spec:
  template: small-plant
  timeZone: Europe/Paris
  grants: { send: [shortage.reported] }
`;
const policyText = `apiVersion: plantgate/v1
kind: Policy
metadata:
  name: test-watch
  owner: operations@example.com
  purpose: Tests need not wait long
spec:
  selector: { labels: { environment: test } }
  watch: { for: 2s }
  logLevel: debug
`;

type Person = Awaited<ReturnType<typeof openBrowser>>;

/** Told in order; each step stands on those before it. */
describe.skipIf(executable === undefined)("a change, from a draft on the console to a plant", () => {
  const folder = temporaryFolder();
  const screenshots = openScreenshots();
  let browser: Browser;
  let central: TestCentral;
  let system: System;
  let mira: Person;
  let tomas: Person;

  beforeAll(async () => {
    process.stderr.write(`screenshots: ${screenshots.folder}\n`);
    const dist = join(folder.path, "console");
    await buildConsole(dist);
    central = await startTestCentral({ consoleDir: dist });
    system = openSystem();
    await system.gateway("lyon", central);
    browser = await launchChromium(executable as string);
    mira = await openBrowser(browser, "light");
    tomas = await openBrowser(browser, "dark");
  });
  afterAll(async () => {
    await browser?.close();
    await system?.[Symbol.asyncDispose]();
    await central?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  afterEach(async ({ task }) => {
    if (task.result?.state !== "fail") return;
    await screenshots.take(mira.page, "failed-mira", "light");
    await screenshots.take(tomas.page, "failed-tomas", "dark");
  });

  async function addUser(name: "mira" | "tomas", roles: readonly string[]): Promise<string> {
    expect((await central.admin("POST", "/v1/users", { name, roles })).status).toBe(201);
    return (await central.admin<{ url: string }>("POST", `/v1/users/${name}/links`, {})).body.url;
  }
  async function setPassword(page: Page, link: string, name: "mira" | "tomas"): Promise<void> {
    await page.goto(link);
    await page.getByLabel("New password", { exact: true }).fill(password[name]);
    await page.getByLabel("New password, again").fill(password[name]);
    await page.getByRole("button", { name: "Set the password" }).click();
    await page.getByRole("button", { name: `Signed in as ${name}. Account` }).waitFor();
  }
  const editor = (page: Page) => page.getByRole("textbox", { name: /^Text of/ });
  /** In place of all that stands there, as by pasting. */
  async function write(page: Page, text: string): Promise<void> {
    await editor(page).click();
    await page.keyboard.press("Control+A");
    await page.keyboard.insertText(text);
  }
  async function saveIntoChange(page: Page, fill: (dialog: ReturnType<Page["getByRole"]>) => Promise<void>): Promise<void> {
    await page.getByText("No problems").waitFor();
    await page.getByRole("button", { name: "Save into a change" }).click();
    const dialog = page.getByRole("dialog", { name: "Save into a change" });
    await fill(dialog);
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { level: 1, name: "Shortages reach the centre" }).waitFor();
  }

  it("signs people in by a one-time link and a password of their own, and afterwards by that", async () => {
    await setPassword(mira.page, await addUser("mira", ["engineer", "approver", "admin"]), "mira");
    await setPassword(tomas.page, await addUser("tomas", ["approver", "operator"]), "tomas");
    const { page } = mira;
    await page.getByRole("button", { name: /Account/ }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.goto(`${central.url}/documents`);
    await page.getByLabel("User").fill("mira");
    await page.getByLabel("Password", { exact: true }).fill("not this one");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page
      .getByRole("alert")
      .getByText(/password is wrong/)
      .waitFor();
    await screenshots.take(page, "sign-in-refused", "light");
    await page.getByLabel("Password", { exact: true }).fill(password.mira);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { level: 1, name: "Documents", exact: true }).waitFor();
  });

  it("shows a schema error where it stands while a template is written, and that it is gone once repaired", async () => {
    const { page } = mira;
    await page.getByRole("button", { name: "New document" }).click();
    await page.getByRole("menuitem", { name: /^Template/ }).click();
    await page.getByText("No problems").waitFor();
    await write(page, template.replace("purpose: What is missing", "purpos: What is missing"));
    await page
      .getByText(/problems?$/)
      .filter({ hasNotText: "No" })
      .first()
      .waitFor();
    const marked = page.locator(".cm-lintRange-error").first();
    await marked.waitFor();
    expect(await page.locator(".problem-list").innerText()).toMatch(/template\.yaml:1[0-2]:\d+/);
    expect(
      await page
        .locator(".cm-line")
        .filter({ has: page.locator(".cm-lintRange-error") })
        .first()
        .innerText(),
    ).toMatch(/purpos: What is missing|shortages:/);
    await screenshots.take(page, "editor-with-error", "light");
    await write(page, template);
    await saveIntoChange(page, async (dialog) => {
      await dialog.getByLabel(/Title/).fill("Shortages reach the centre");
      await dialog.getByLabel("Why").fill("Planning asks for them.");
      await dialog.getByRole("combobox", { name: "Environment" }).click();
      await page.getByRole("option", { name: "test" }).click();
    });
  });

  it("takes a site and a policy into the same draft", async () => {
    const { page } = mira;
    for (const [kind, text] of [
      ["Site", siteText],
      ["Policy", policyText],
    ] as const) {
      await page.goto(`${central.url}/documents/new?kind=${kind}&change=1`);
      await write(page, text);
      await saveIntoChange(page, async (dialog) => {
        await dialog.getByRole("radio", { name: /Change 1/ }).check();
      });
    }
    await page.getByRole("tab", { name: "Documents 3" }).waitFor();
    await page.getByRole("region", { name: "How it is rolled out" }).getByRole("button", { name: "Edit" }).click();
    const dialog = page.getByRole("dialog", { name: "How it is rolled out" });
    await dialog.getByLabel("A wave holds for").fill("2s");
    await screenshots.take(page, "strategy", "light");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "hidden" });
    await page.getByText(/all of the wave were healthy for 2s/).waitFor();
  });

  it("does not let its author approve it, neither by the button nor past it", async () => {
    const { page } = mira;
    await page.getByRole("button", { name: "Ask for review" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Ask for review" }).click();
    await page.getByText("In review", { exact: true }).waitFor();
    const approve = page.getByRole("button", { name: "Approve" });
    expect(await approve.getAttribute("aria-disabled")).toBe("true");
    await page.getByText(/you are its author; somebody else has to approve it/i).waitFor();
    await approve.click({ force: true });
    expect(await page.getByRole("dialog").count()).toBe(0);
    const status = await page.evaluate(async () => {
      const session = await (await fetch("/v1/session")).json();
      const { digest } = await (await fetch("/v1/changes/1")).json();
      const headers = { "content-type": "application/json", "plantgate-csrf": session.csrf };
      const body = JSON.stringify({ comment: "", digest });
      return (await fetch("/v1/changes/1/approve", { method: "POST", headers, body })).status;
    });
    expect([403, 409]).toContain(status);
    await page.reload();
    await page.getByText("In review", { exact: true }).waitFor();
    await screenshots.take(page, "change-in-review", "light");
  });

  it("is approved by a second person who reads what changes at the site, and rolls out until it is done", async () => {
    const { page } = tomas;
    await page.goto(`${central.url}/changes`);
    await page.getByRole("link", { name: "Shortages reach the centre" }).click();
    await page.getByRole("tab", { name: /^Sites/ }).click();
    await page.getByRole("button", { name: /lyon/ }).first().waitFor();
    await screenshots.take(page, "change-sites", "dark");
    await page.getByRole("button", { name: "Approve" }).click();
    await page
      .getByRole("dialog")
      .getByLabel(/Comment/)
      .fill("Read; the cause is what planning needs.");
    await page.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page
      .getByRole("link", { name: /^Rollout 1/ })
      .first()
      .click();
    await page.getByRole("list", { name: "Waves" }).getByRole("link", { name: "lyon" }).waitFor();
    await screenshots.take(page, "rollout-running", "dark");
    await page.locator(".page-head").getByText("Done", { exact: true }).waitFor({ timeout: 180_000 });
    await page.getByRole("list", { name: "Waves" }).getByText("healthy", { exact: true }).first().waitFor();
  });

  it("shows what is in effect at the site afterwards, and where each value comes from", async () => {
    const { page } = tomas;
    await page.goto(`${central.url}/sites/lyon`);
    await page.getByText("Active, as desired").waitFor();
    const row = page.getByRole("row", { name: /watch/ }).filter({ hasText: "test-watch" }).first();
    await row.waitFor();
    expect(await row.innerText()).toMatch(/from Policy test-watch.*because/s);
    await screenshots.take(page, "site-after", "dark");
  });

  it("tries a draft at the site, and enrolls another gateway that waits for its fingerprint to be confirmed", async () => {
    const { page } = mira;
    await page.goto(`${central.url}/changes/1?view=dry-run`);
    await page.getByRole("button", { name: "Try it there" }).click();
    await page.getByText(/0 inputs/).waitFor();
    expect((await central.admin("POST", "/v1/sites", { name: "gent", environment: "test" })).status).toBe(201);
    await page.goto(`${central.url}/sites/gent?view=keys`);
    await page.getByRole("button", { name: "Enroll a gateway" }).click();
    await page.getByRole("button", { name: "Make the token" }).click();
    const command = await page.getByRole("group", { name: "Command to enroll" }).innerText();
    const token = /--token (\S+)/.exec(command)?.[1] ?? "";
    await page.getByRole("button", { name: "Done" }).click();
    const data = join(folder.path, "gent");
    const enrolling = startPlantgate(["enroll", "--data", data, "--central", central.url, "--token", token]);
    await page.getByRole("button", { name: "Confirm" }).click();
    const dialog = page.getByRole("dialog", { name: "Confirm the gateway's key" });
    const shown = (await dialog.locator(".fingerprint").innerText()).split("\n");
    const said = enrolling.output.join("\n");
    for (const line of shown) expect(said).toContain(line);
    await dialog.getByRole("button", { name: /confirm/ }).click();
    await dialog.waitFor({ state: "hidden" });
    expect(await enrolling.ended).toBe(0);
    await page.getByText("active", { exact: true }).waitFor();
  });

  it("gives a token to a tool, and finds the audit's chain unbroken", async () => {
    const { page } = mira;
    await page.goto(`${central.url}/tokens`);
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.getByLabel(/Purpose/).fill("Build server");
    await page.getByRole("button", { name: "Make the token" }).click();
    const token = await page.getByRole("group", { name: "The token" }).locator("code").innerText();
    const asked = await fetch(`${central.url}/v1/session`, { headers: { authorization: `Bearer ${token}` } });
    expect(await asked.json()).toMatchObject({ user: "mira", kind: "token", roles: ["viewer"] });
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("button", { name: "Revoke Build server" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByText("revoked", { exact: true }).waitFor();
    await page.goto(`${central.url}/audit?action=change`);
    await page.getByText("change.approved").waitFor();
    await page.getByRole("button", { name: "Verify the chain" }).click();
    await page.getByText(/entries, unbroken/).waitFor();
  });

  const pages = [
    ["sites", "/"],
    ["site", "/sites/lyon"],
    ["site-revisions", "/sites/lyon?view=revisions"],
    ["site-shadow", "/sites/lyon?view=shadow"],
    ["site-secrets", "/sites/lyon?view=secrets"],
    ["site-keys", "/sites/lyon?view=keys"],
    ["orders", "/orders"],
    ["documents", "/documents"],
    ["document", "/documents/Template/small-plant"],
    ["editor", "/documents/Template/small-plant/edit"],
    ["changes", "/changes?show=all"],
    ["change", "/changes/1"],
    ["change-examples", "/changes/1?view=examples"],
    ["change-dry-run", "/changes/1?view=dry-run"],
    ["change-conversation", "/changes/1?view=conversation"],
    ["rollouts", "/rollouts"],
    ["rollout", "/rollouts/1"],
    ["users", "/users"],
    ["tokens", "/tokens"],
    ["audit", "/audit"],
  ] as const;

  it("has every page in dark and light, none of which asks another host or complains", async () => {
    const { page } = mira;
    for (const scheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const [name, path] of pages) {
        await page.goto(`${central.url}${path}`);
        await page.getByRole("heading", { level: 1 }).first().waitFor();
        await page.waitForFunction(() => document.querySelector(".loading") === null);
        expect({ path, alerts: await page.getByRole("alert").allInnerTexts() }).toEqual({ path, alerts: [] });
        await screenshots.take(page, name, scheme);
      }
      const stranger = await openBrowser(browser, scheme);
      await stranger.page.goto(`${central.url}/changes/1`);
      await stranger.page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
      await screenshots.take(stranger.page, "sign-in", scheme);
      await stranger.context.close();
    }
    for (const { complaints, hosts } of [mira, tomas]) {
      expect(complaints).toEqual([]);
      expect([...hosts]).toEqual([new URL(central.url).host]);
    }
  });
});
