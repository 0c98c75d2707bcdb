import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { type Browser, chromium } from "playwright-core";

const run = promisify(execFile);
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
  const failure = await install();
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

async function install(): Promise<string | undefined> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "only root on Linux can install it here";
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", ["update"], { env });
    await run("apt-get", ["install", "-y", "--no-install-recommends", "chromium"], { env });
    return undefined;
  } catch (error) {
    return `apt-get failed: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`;
  }
}
