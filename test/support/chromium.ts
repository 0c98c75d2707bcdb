import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";
import { installFromDebian } from "./debian.ts";

const places = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const quiet = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/**
 * A Chromium of this machine, else one installed with apt-get where we are root.
 * @returns undefined, with a loud line, where there is none
 * @throws where there is none and REQUIRE_SERVICES=1: a skipped test must not look like a passed one
 */
export async function findChromium(): Promise<string | undefined> {
  const found = places.find((path) => existsSync(path));
  if (found) return found;
  const failure = installFromDebian("chromium");
  const installed = places.find((path) => existsSync(path));
  if (installed) return installed;
  const words = `no Chromium: not at ${places.join(", ")}; ${failure ?? "apt-get brought none"}`;
  if (process.env.REQUIRE_SERVICES === "1") throw new Error(words);
  process.stderr.write(`\nSKIPPED, the console is not tested: ${words}\n\n`);
  return undefined;
}

/** A headless browser with a profile of its own, which goes with it. */
export function launchChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: quiet });
}
