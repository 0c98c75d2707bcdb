import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { build } from "vite";

const configFile = join(import.meta.dirname, "../../packaging/vite.config.ts");

/** Builds the console as it ships. */
export async function buildConsole(outDir: string): Promise<void> {
  await build({ configFile, logLevel: "error", build: { outDir } });
}

export interface WatchedPage {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Errors that the page threw or wrote to its console. */
  readonly complaints: string[];
  /** Whom it asked for anything. */
  readonly hosts: Set<string>;
}

/** A page in a session of its own. */
export async function openWatchedPage(browser: Browser): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  const page = await context.newPage();
  page.setDefaultTimeout(40_000);
  const complaints: string[] = [];
  const hosts = new Set<string>();
  page.on("console", (entry) => entry.type() === "error" && complaints.push(entry.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  context.on("request", (request) => hosts.add(new URL(request.url()).hostname));
  return { context, page, complaints, hosts };
}
