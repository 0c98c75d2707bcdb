import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";

export interface Screenshots {
  readonly folder: string;
  /** The page as it is, under `NAME-light.png` or `NAME-dark.png`. */
  take(page: Page, name: string, scheme: "light" | "dark"): Promise<void>;
}

/** Where pictures go: the folder that PLANTGATE_SCREENSHOTS names, else a new one of the system's. */
export function openScreenshots(): Screenshots {
  const named = process.env.PLANTGATE_SCREENSHOTS;
  const folder = named ?? mkdtempSync(join(tmpdir(), "plantgate-screenshots-"));
  mkdirSync(folder, { recursive: true });
  return {
    folder,
    async take(page, name, scheme) {
      await page.screenshot({ path: join(folder, `${name}-${scheme}.png`), animations: "disabled" });
    },
  };
}

/** Somebody's own browser: cookies, colours and all that it complained about. */
export async function openBrowser(
  browser: Browser,
  scheme: "light" | "dark",
  width = 1440,
): Promise<{ context: BrowserContext; page: Page; complaints: string[]; hosts: Set<string> }> {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  const hosts = new Set<string>();
  // a refused call is an answer; what the browser says about it is none of the console's mistakes
  page.on("console", (entry) => {
    if (entry.type() === "error" && !entry.text().startsWith("Failed to load resource")) complaints.push(entry.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  context.on("request", (request) => hosts.add(new URL(request.url()).host));
  return { context, page, complaints, hosts };
}
