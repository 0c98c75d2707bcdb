import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { toProblem } from "../../../protocol/index.ts";
import { findChromium, launchChromium } from "../../support/chromium.ts";
import { buildConsole, openWatchedPage } from "../../support/console.ts";
import { temporaryFolder } from "../../support/folder.ts";
import type { ConfigurationWorld } from "./answers.ts";
import { change } from "./change-fixtures.ts";
import { configurationWorld } from "./configuration-fixtures.ts";
import { type Answers, type ConsoleServer, startConsoleServer } from "./console-server.ts";
import { site, sitesAnswer } from "./fixtures.ts";

const executable = await findChromium();

describe.skipIf(executable === undefined)("the console's pages of configuration", () => {
  const folder = temporaryFolder();
  const dist = join(folder.path, "console");
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let server: ConsoleServer;
  let world: ConfigurationWorld;
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
    world = configurationWorld();
    ({ context, page, complaints, hosts } = await openWatchedPage(browser));
  });
  afterEach(async () => {
    await context.close();
    await server[Symbol.asyncDispose]();
  });

  async function open(path: string, answers: Partial<Answers> = {}): Promise<void> {
    server = await startConsoleServer(dist, { world, ...answers });
    await page.goto(`${server.url}${path}`);
  }
  const editor = () => page.getByRole("textbox", { name: /^Text of/ });
  const writeAtEnd = async (text: string) => {
    await editor().click();
    await page.keyboard.press("Control+End");
    await page.keyboard.type(text);
  };

  describe("signing in", () => {
    it("says until when a browser that tried too often is locked out", async () => {
      const problem = toProblem("limited", "too many wrong tries came from this address");
      world.instead.set("POST /v1/session", () => ({ status: 429, body: problem, headers: { "retry-after": "540" } }));
      await open("/changes", { session: false });
      await page.getByLabel("User").fill("mira");
      await page.getByLabel("Password", { exact: true }).fill("wrong");
      await page.getByRole("button", { name: "Sign in" }).click();
      expect(await page.getByRole("alert").innerText()).toMatch(/Locked until \d\d:\d\d:\d\d.*(9 min 00|8 min 5\d) s to go/s);
      expect(await page.getByLabel("Password", { exact: true }).inputValue()).toBe("");
    });

    it("comes over a page whose session ended, and what was written is still there", async () => {
      await open("/documents/new?kind=Policy");
      await writeAtEnd("# never lost");
      world.signedIn = false;
      await page.keyboard.type("!");
      const dialog = page.getByRole("dialog", { name: "Your session has ended" });
      await dialog.waitFor();
      expect(await dialog.getByLabel("User").inputValue()).toBe("mira");
      await dialog.getByLabel("Password", { exact: true }).fill("a long password");
      await page.keyboard.press("Enter");
      await dialog.waitFor({ state: "hidden" });
      expect(await editor().innerText()).toContain("# never lost!");
    });

    it("does not look signed out while central has not ended the session", async () => {
      world.instead.set("DELETE /v1/session", () => ({ status: 503, body: toProblem("busy") }));
      await open("/documents");
      await page.getByRole("button", { name: "Signed in as mira. Account" }).click();
      await page.getByRole("menuitem", { name: "Sign out" }).click();
      const dialog = page.getByRole("dialog", { name: "You are still signed in" });
      await dialog
        .getByRole("alert")
        .getByText(/Too much at once/)
        .waitFor();
      world.instead.clear();
      await dialog.getByRole("button", { name: "Sign out" }).click();
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
    });

    it("begins with a password of one's own after a one-time link", async () => {
      const session = { user: "noor", kind: "user", roles: ["viewer"], environments: ["*"], csrf: "c", mustSetPassword: true };
      world.instead.set("GET /v1/session", () => ({ status: 200, body: session }));
      await open("/");
      await page.getByRole("heading", { name: "Set your password" }).waitFor();
      await page.getByLabel("New password", { exact: true }).fill("short");
      await page.getByLabel("New password, again").fill("short");
      await page.getByRole("button", { name: "Set the password" }).click();
      await page.getByText("At least 12 characters; a sentence").waitFor();
      await page.getByLabel("New password", { exact: true }).fill("a plant by the river");
      await page.getByLabel("New password, again").fill("a plant by the river");
      world.instead.clear();
      await page.getByRole("button", { name: "Set the password" }).click();
      await page.getByRole("heading", { name: "No sites yet" }).waitFor();
      expect(world.sent.at(-1)).toMatchObject({ method: "PUT", body: { next: "a plant by the river" } });
    });
  });

  it("keeps the filters of the sites in the address", async () => {
    const dev = (name: string) => site(name, { labels: { environment: "dev", region: "us", unit: "body" } });
    const rolledBack = site("gent", {
      configurationState: "rolled-back",
      configurationReason: "4 new dead letters of flow picks",
    });
    const sites = () => sitesAnswer([site("lyon"), rolledBack, dev("austin"), dev("reno")]);
    await open("/?environment=dev&q=aus", { sites });
    await page.getByRole("article", { name: "austin" }).waitFor();
    expect(await page.getByRole("article").count()).toBe(1);
    await page.getByRole("button", { name: "Show all" }).click();
    expect(await page.getByRole("article").count()).toBe(4);
    expect(new URL(page.url()).search).toBe("");
    await page.getByRole("combobox", { name: "Region" }).click();
    await page.getByRole("option", { name: "us" }).click();
    expect(new URL(page.url()).search).toBe("?region=us");
    await page.goto(`${server.url}/?configuration=rolled-back`);
    await page.getByRole("article", { name: "gent" }).getByText("4 new dead letters of flow picks").waitFor();
    expect(await page.getByRole("article").count()).toBe(1);
  });

  describe("a site", () => {
    it("tells of each value where it comes from, why, and what it overrode", async () => {
      await open("/sites/lyon");
      const row = page.getByRole("row", { name: /^lanes\.transaction\.maxBytes/ });
      await row.waitFor();
      expect(await row.innerText()).toMatch(/8589934592\s+from Policy prod-retention.*because its selector environment=prod/s);
      await row.getByText("overrode 2 values").click();
      expect(await row.innerText()).toMatch(/4294967296.*Policy all-sites.*2147483648.*built-in default/s);
    });

    it("shows what differs between two revisions, field by field", async () => {
      await open("/sites/lyon?view=revisions");
      const row = page.getByRole("row", { name: /^flows\.picks\.retry\.attempts/ });
      await row.waitFor();
      expect((await row.innerText()).replaceAll(/\s+/g, " ")).toMatch(/changed 20 40/);
    });

    it("compares what a flow in shadow would have sent with what was sent", async () => {
      await open("/sites/lyon?view=shadow");
      const flow = page.getByRole("region", { name: "Flow picks-next" });
      await flow.waitFor();
      const words = (await flow.innerText()).replaceAll(/\s+/g, " ");
      expect(words).toMatch(/beside picks.*The same 4,120 Different 38.*Only live 2.*2× map-failed line\.lot is missing/);
      expect(words).toMatch(/data\.lot 38 nothing L-2231/);
    });

    it("asks to compare the fingerprint before a key is confirmed", async () => {
      await open("/sites/lyon?view=keys");
      await page.getByRole("button", { name: "Confirm" }).click();
      const dialog = page.getByRole("dialog", { name: "Confirm the gateway's key" });
      await dialog.getByText(/6f36 70ac 7974 e60b\s+c252 3fe0/).waitFor();
      await dialog.getByRole("button", { name: /confirm/ }).click();
      await dialog.waitFor({ state: "hidden" });
      expect(world.sent.at(-1)?.path).toMatch(/\/keys\/6f3670ac[0-9a-f]{56}\/confirm$/);
    });

    it("states what went with a disk, and sends again what a person chose", async () => {
      await open("/sites/lyon?view=losses");
      const lane = page.getByRole("row", { name: /^transaction/ });
      await lane.waitFor();
      expect((await lane.innerText()).replaceAll(/\s+/g, " ")).toMatch(
        /48,212 to 48,218 \(7\) what it took in after .* not known/,
      );
      expect(await page.getByRole("row", { name: /^bulk/ }).innerText()).toMatch(/from 403 on/);
      await page.getByText(/sent, outcome unknown \(wms\)/).waitFor();
      await page.getByRole("checkbox", { name: "Send 913 again" }).check();
      await page.getByRole("button", { name: "Send 1 again" }).click();
      const dialog = page.getByRole("dialog", { name: "Send again" });
      await dialog.getByRole("checkbox").check();
      await dialog.getByRole("button", { name: "Send again" }).click();
      await dialog.waitFor({ state: "hidden" });
      expect(world.sent.at(-1)).toMatchObject({
        path: "/v1/sites/lyon/losses/send-again",
        body: { sequences: [913], outOfOrder: true },
      });
    });

    it("shows an enrollment token once", async () => {
      await open("/sites/lyon?view=keys");
      await page.getByRole("button", { name: "Enroll a gateway" }).click();
      await page.getByRole("button", { name: "Make the token" }).click();
      await page.getByRole("group", { name: "Command to enroll" }).getByText("--token pge_7hT2kLq9Xw").waitFor();
      await page.getByRole("button", { name: "Done" }).click();
      await page.getByRole("button", { name: "Enroll a gateway" }).click();
      await page.getByRole("button", { name: "Make the token" }).waitFor();
      expect(await page.content()).not.toContain("pge_7hT2kLq9Xw");
    });
  });

  describe("the editor", () => {
    it("completes keys and named values from the schemas", async () => {
      await open("/documents/new?kind=Template");
      await writeAtEnd("      on");
      await page.getByRole("option", { name: "onExhausted" }).click();
      await page.keyboard.type("p");
      await page.getByRole("option", { name: "park" }).click();
      expect(await editor().innerText()).toContain("onExhausted: park");
    });

    it("shows a problem where it stands and leads to it", async () => {
      world.judge = (text) => {
        const lines = text.split("\n");
        const line = lines.findIndex((one) => one.includes("attempst")) + 1;
        const column = (lines[line - 1] ?? "").indexOf("attempst") + 1;
        return line === 0
          ? []
          : [{ file: "template.yaml", line, column, path: "spec.flows.picks.retry", message: "unknown key" }];
      };
      await open("/documents/new?kind=Template");
      await writeAtEnd("      retry: { attempst: 3 }");
      await page.getByText("1 problem", { exact: true }).waitFor();
      expect(await page.locator(".cm-lintRange-error").innerText()).toBe("attempst");
      await page.getByRole("button", { name: /template\.yaml:\d+:16/ }).click();
      expect(await editor().evaluate((element) => element === document.activeElement)).toBe(true);
      expect(await page.evaluate(() => String(getSelection()?.anchorNode?.textContent))).toContain("attempst");
    });

    it("can be left with Escape, then Tab", async () => {
      await open("/documents/new?kind=Site");
      await editor().click();
      await page.keyboard.press("Tab");
      expect(await editor().evaluate((element) => element === document.activeElement)).toBe(true);
      await page.keyboard.press("Escape");
      await page.keyboard.press("Tab");
      expect(await editor().evaluate((element) => element === document.activeElement)).toBe(false);
      expect(await page.locator("#editor-keys").innerText()).toMatch(/Escape, then Tab, leaves the editor/);
    });

    it("keeps what was written over a way to another page and back", async () => {
      await open("/documents/Template/assembly-plant/edit");
      await writeAtEnd("# to be gone on with");
      await page.getByRole("link", { name: "Sites", exact: true }).click();
      await page.getByRole("heading", { name: "No sites yet" }).waitFor();
      await page.goBack();
      await editor().getByText("# to be gone on with").waitFor();
      await page.getByRole("button", { name: "Discard" }).click();
      await page.getByRole("button", { name: "Discard" }).waitFor({ state: "hidden" });
      expect(await editor().innerText()).not.toContain("# to be gone on with");
    });

    it("saves a document, with the files that it names, into a new change", async () => {
      await open("/documents/Template/assembly-plant/edit");
      await writeAtEnd("# said twice");
      await page.getByRole("button", { name: "Save into a change" }).click();
      const dialog = page.getByRole("dialog", { name: "Save into a change" });
      await dialog.getByLabel(/Title/).fill("A remark");
      await dialog.getByRole("button", { name: "Save" }).click();
      await page.getByRole("heading", { name: "A remark" }).waitFor();
      const sent = world.sent.find(({ method, path }) => method === "POST" && path === "/v1/changes");
      expect(sent?.body).toMatchObject({
        title: "A remark",
        environment: "dev",
        files: [{ text: expect.stringContaining("# said twice") }, { name: "examples/two-lots.json" }],
      });
    });
  });

  it("saves into a draft without losing what else it carries", async () => {
    const text = "apiVersion: plantgate/v1\nkind: Policy\nmetadata: { name: prod-retention, owner: o, purpose: p }\nspec: {}\n";
    const template = world.change.documents[0]!;
    const documents = [template, { kind: "Policy" as const, name: "prod-retention", revision: 2, base: 1, text }];
    world.change = change({ number: 13, state: "draft", documents, version: 7, may: { edit: { allowed: true } } });
    await open("/documents/Template/assembly-plant/edit?change=13");
    await writeAtEnd("# said twice");
    await page.getByRole("button", { name: "Save into a change" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { name: "Picks carry their lot" }).waitFor();
    const sent = world.sent.find(({ method }) => method === "PUT")?.body as { version: number; files: { text: string }[] };
    expect(sent.version).toBe(7);
    expect(sent.files.filter((file) => file.text.includes("kind: Policy")).length).toBe(1);
    expect(
      sent.files.filter((file) => file.text.includes("kind: Template")).map((file) => file.text.includes("# said twice")),
    ).toEqual([true]);
  });

  it("asks before it puts a text in the place of one that somebody else wrote meanwhile", async () => {
    const [template] = world.change.documents;
    const draft = { number: 13, state: "draft" as const, may: { edit: { allowed: true } } };
    world.change = change(draft);
    await open("/documents/Template/assembly-plant/edit?change=13");
    await writeAtEnd("# mine");
    world.change = change({
      ...draft,
      version: 4,
      documents: [{ ...template!, revision: 9, text: `${template!.text}# theirs\n` }],
    });
    await page.getByRole("button", { name: "Save into a change" }).click();
    const dialog = page.getByRole("dialog", { name: "Save into a change" });
    await dialog.getByRole("checkbox", { name: /holds Template\/assembly-plant with another text/ }).waitFor();
    expect(await dialog.getByRole("button", { name: "Save" }).isDisabled()).toBe(true);
    await dialog.getByRole("checkbox", { name: /Put mine in its place/ }).check();
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "hidden" });
    expect(world.sent.find(({ method }) => method === "PUT")?.body).toMatchObject({ version: 4 });
  });

  describe("a change", () => {
    it("says in words why its author cannot approve it, and keeps the button reachable", async () => {
      await open("/changes/12");
      const approve = page.getByRole("button", { name: "Approve" });
      await approve.focus();
      expect(await approve.getAttribute("aria-disabled")).toBe("true");
      await page.getByText("You wrote it; a second person has to approve it.").waitFor();
      await page.keyboard.press("Enter");
      expect(await page.getByRole("dialog").count()).toBe(0);
    });

    it("is approved under the digest that was read, and not when it was edited meanwhile", async () => {
      const may = { approve: { allowed: true }, reject: { allowed: true } };
      world.change = change({ author: "ana", may });
      await open("/changes/12");
      await page.getByRole("button", { name: "Approve" }).click();
      const dialog = page.getByRole("dialog", { name: /Approve/ });
      await dialog.getByLabel(/Comment/).fill("Read it.");
      await dialog.getByRole("button", { name: "Approve" }).click();
      await dialog.waitFor({ state: "hidden" });
      const { digest } = world.change;
      expect(world.sent.at(-1)).toEqual({
        method: "POST",
        path: "/v1/changes/12/approve",
        body: { comment: "Read it.", digest },
      });
      await page.getByRole("button", { name: "Approve" }).click();
      world.change = change({ author: "ana", may, digest: "0".repeat(64), version: 4 });
      await dialog.getByText("It was edited while this was open").waitFor();
      expect(await dialog.getByRole("button", { name: "Approve" }).isDisabled()).toBe(true);
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
      await page.getByRole("button", { name: "I have read it" }).click();
      await page.getByRole("button", { name: "Approve" }).click();
      await dialog.getByRole("button", { name: "Approve" }).click();
      await dialog.waitFor({ state: "hidden" });
      expect(world.sent.at(-1)?.body).toEqual({ comment: "", digest: "0".repeat(64) });
    });

    it("is carried on to the environment after its own, and to no other", async () => {
      world.change = change({ environment: "dev", state: "done", may: { promote: { allowed: true } } });
      await open("/changes/12");
      await page.getByRole("button", { name: "Promote" }).click();
      const dialog = page.getByRole("dialog", { name: "Promote: Picks carry their lot" });
      expect(await dialog.getByRole("combobox").count()).toBe(0);
      await dialog.getByRole("button", { name: "Promote to test" }).click();
      await page.waitForURL("**/changes/14");
      await dialog.waitFor({ state: "hidden" });
      expect(world.sent.at(-1)).toMatchObject({ path: "/v1/changes/12/promote", body: { environment: "test" } });
    });

    it("shows its documents side by side, and each site's fields that differ", async () => {
      await open("/changes/12");
      await page.getByRole("textbox", { name: /In force, revision 7/ }).waitFor();
      await page.getByRole("textbox", { name: /With this change, revision 8/ }).waitFor();
      await page.getByRole("tab", { name: /Sites 6/ }).click();
      await page.getByText('parameter "wmsUrl" is missing').waitFor();
      await page.getByRole("button", { name: /lyon, gent, porto, brno, aalen/ }).click();
      await page.getByRole("row", { name: /flows\.picks\.retry\.base/ }).waitFor();
    });

    it("tries itself at a site, and shows the fields that would differ", async () => {
      await open("/changes/12?view=dry-run");
      await page.getByRole("button", { name: "Try it there" }).click();
      await page.getByText("1,000 inputs").waitFor();
      expect((await page.getByRole("row", { name: /data\.lot/ }).innerText()).replaceAll(/\s+/g, " ")).toContain(
        "57 nothing L-2231",
      );
      expect(world.sent.at(-1)).toMatchObject({ path: "/v1/sites/lyon/dry-runs", body: { change: 12, messages: 1000 } });
    });
  });

  describe("a rollout", () => {
    it("says each site's state in words, and how long the gate has held", async () => {
      await open("/rollouts/6");
      const waves = page.getByRole("list", { name: "Waves" });
      await waves.getByText("47 s of 2 min 00 s healthy").waitFor();
      const words = (await waves.innerText()).replaceAll(/\s+/g, " ");
      expect(words).toMatch(
        /lyon-test healthy .* gent-test watching .* vigo-test out of reach .* silent for 14 min .* aalen-test waiting/,
      );
    });

    it("is aborted with a reason only", async () => {
      await open("/rollouts/6");
      await page.getByRole("button", { name: "Abort and put back" }).click();
      const dialog = page.getByRole("dialog");
      expect(await dialog.getByRole("button", { name: "Abort and put back" }).isDisabled()).toBe(true);
      await dialog.getByLabel(/Reason/).fill("The WMS is down");
      await dialog.getByRole("button", { name: "Abort and put back" }).click();
      await dialog.waitFor({ state: "hidden" });
      expect(world.sent.at(-1)).toMatchObject({ path: "/v1/rollouts/6/abort", body: { reason: "The WMS is down" } });
    });
  });

  it("shows a new API token once, and whether the audit's chain is whole", async () => {
    await open("/tokens");
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.getByLabel(/Purpose/).fill("Build server");
    await page.getByRole("button", { name: "Make the token" }).click();
    await page.getByRole("group", { name: "The token" }).getByText("pgt_0123456789abcdef").waitFor();
    await page.getByRole("button", { name: "Done" }).click();
    expect(await page.content()).not.toContain("pgt_0123456789abcdef");
    await page.getByRole("link", { name: "Audit" }).click();
    await page.getByRole("button", { name: "Verify the chain" }).click();
    await page.getByText(/4,806 entries, unbroken/).waitFor();
  });

  const everyPage = [
    ["/", "Sites"],
    ["/sites/lyon", "lyon"],
    ["/sites/lyon?view=keys", "lyon"],
    ["/sites/lyon?view=shadow", "lyon"],
    ["/sites/lyon?view=losses", "lyon"],
    ["/documents", "Documents"],
    ["/documents/Template/assembly-plant", "assembly-plant"],
    ["/documents/Template/assembly-plant/edit", "assembly-plant"],
    ["/changes", "Changes"],
    ["/changes/12", "Picks carry their lot"],
    ["/rollouts", "Rollouts"],
    ["/rollouts/6", "Longer retention of samples in the EU"],
    ["/users", "Users"],
    ["/tokens", "API tokens"],
    ["/audit", "Audit"],
  ] as const;

  it("has one heading, one main part and a name for every control on each page, asks nobody but central, and breaks on no phone", async () => {
    await open("/", { sites: () => sitesAnswer([site("lyon"), site("gent"), site("porto")]) });
    await page.setViewportSize({ width: 390, height: 800 });
    for (const [path, heading] of everyPage) {
      await page.goto(`${server.url}${path}`);
      await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      await page.waitForFunction(() => document.querySelector('[role="status"].loading') === null);
      expect({
        path,
        mains: await page.getByRole("main").count(),
        heads: await page.getByRole("heading", { level: 1 }).count(),
      }).toEqual({
        path,
        mains: 1,
        heads: 1,
      });
      const nameless = await page.evaluate(() =>
        [...document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea, [role=textbox]")]
          .filter((element) => element.getClientRects().length > 0)
          .filter((element) => {
            const labelled = (element.getAttribute("aria-labelledby") ?? "")
              .split(" ")
              .some((id) => id && document.getElementById(id));
            const label = element.id ? document.querySelector(`label[for="${CSS.escape(element.id)}"]`) : null;
            return !(
              element.getAttribute("aria-label") ||
              labelled ||
              label ||
              element.closest("label") ||
              element.textContent?.trim()
            );
          })
          .map((element) => element.outerHTML.slice(0, 160)),
      );
      expect({ path, nameless }).toEqual({ path, nameless: [] });
      const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect({ path, tooWide }).toEqual({ path, tooWide: 0 });
    }
    expect([...hosts]).toEqual(["127.0.0.1"]);
    expect(complaints).toEqual([]);
  });

  it("tells on each page what is missing where there is nothing yet, and what is wrong where central fails", async () => {
    const nothing: Record<string, unknown> = {
      documents: { documents: [] },
      changes: { changes: [] },
      rollouts: { rollouts: [] },
      tokens: { tokens: [] },
    };
    await open("/");
    const titles = { documents: "No documents yet", changes: "No changes yet", rollouts: "No rollouts yet", tokens: "No tokens" };
    for (const [path, title] of Object.entries(titles)) {
      world.instead.set(`GET /v1/${path}`, () => ({ status: 200, body: nothing[path] }));
      await page.goto(`${server.url}/${path}`);
      await page.getByRole("heading", { name: title }).waitFor();
      const problem = toProblem("internal", "the reason is in central's log");
      world.instead.set(`GET /v1/${path}`, () => ({ status: 500, body: problem }));
      await page.reload();
      await page.getByRole("heading", { name: "Central answered with an error" }).waitFor();
      expect(await page.getByRole("alert").innerText()).toContain("the reason is in central's log");
    }
  });
});
