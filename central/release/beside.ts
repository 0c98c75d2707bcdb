import { compareVersions, releaseVersion } from "../../protocol/index.ts";

/** The oldest program of gateways that this central was made for. It rises in the release that gives up what an older one says (ADR 0141). */
const oldestGateway = "0.1.0";

/** `newer`: of a later minor version; it may say what this central does not know. `too-old`: nobody has tried it with this central. */
export type Beside = "same" | "older" | "newer" | "too-old";

/** A gateway's version beside central's own; null: one of them says none that can be compared. Patches of one minor version are the same. */
export function beside(gateway: string | null, central: string | null): Beside | null {
  if (gateway === null || !releaseVersion.safeParse(gateway).success) return null;
  if (compareVersions(gateway, oldestGateway) < 0) return "too-old";
  if (central === null || !releaseVersion.safeParse(central).success) return null;
  const difference = compareVersions(minorOf(gateway), minorOf(central));
  return difference === 0 ? "same" : difference < 0 ? "older" : "newer";
}

function minorOf(version: string): string {
  const [major, minor] = version.split(".");
  return `${major}.${minor}.0`;
}
