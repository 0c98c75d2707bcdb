import { builtInYear, clockAdvice, type Finding, fault, ok, unchecked, warning } from "../../protocol/index.ts";
import { wrongClockMs } from "./central.ts";
import type { Facts } from "./facts.ts";

const tolerableMs = 5000;

/** Our clock beside central's. The time zone plays no part: everything is UTC. */
export async function checkSkew(facts: Facts): Promise<Finding[]> {
  const now = new Date(facts.place.clock.now());
  const advice = `${clockAdvice(await facts.ntp())}; until then samples and facts carry wrong times`;
  if (now.getUTCFullYear() < builtInYear) return [fault(`it says ${now.toISOString()}`, advice)];
  const { why = "central is not reached" } = await facts.central();
  const skewMs = await facts.skewMs();
  if (skewMs === undefined) {
    const against = await facts.againstClock();
    return [
      against ? fault(`it says ${now.toISOString()}, and ${against}`, advice) : unchecked(`how far it is from central's: ${why}`),
    ];
  }
  const seen = `it is ${describe(Math.abs(skewMs))} ${skewMs > 0 ? "behind" : "ahead of"} central's`;
  if (Math.abs(skewMs) > wrongClockMs) return [fault(seen, advice)];
  if (Math.abs(skewMs) > tolerableMs) return [warning(seen, advice)];
  return [ok("it agrees with central's")];
}

function describe(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
