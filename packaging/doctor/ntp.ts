import { existsSync } from "node:fs";
import type { Ntp } from "../../protocol/index.ts";
import { output } from "./command.ts";

/** What keeps the clock, as chrony or systemd tell it; undefined: nobody tells. */
export async function readNtp(): Promise<Ntp | undefined> {
  const tracking = await output("chronyc", ["-n", "tracking"]);
  if (tracking !== undefined) return /Leap status\s*: Normal/.test(tracking) ? "kept" : "failing";
  if (!existsSync("/run/systemd/system")) return undefined;
  const said = await output("timedatectl", ["show", "--property=NTP", "--property=NTPSynchronized"]);
  if (said === undefined) return undefined;
  if (said.includes("NTPSynchronized=yes")) return "kept";
  return /^NTP=yes$/m.test(said) ? "failing" : "off";
}
