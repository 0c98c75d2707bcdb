import { createHash } from "node:crypto";
import type { z } from "zod";
import { type Bundle, bundle, describeIssues, PlantgateError, parseJson } from "../../protocol/index.ts";
import type { CentralKeys } from "../identity/central-keys.ts";

/** SHA-256 of what central signed, as it states it itself. */
export function digestOf(jws: string): string {
  return createHash("sha256")
    .update(Buffer.from(jws.split(".")[1] ?? "", "base64url"))
    .digest("hex");
}

export interface ReaderDeps {
  readonly site: string;
  readonly centralKeys: Pick<CentralKeys, "verify">;
  /** Of this gateway, for who has to update it. */
  readonly version: string;
}

/**
 * A bundle of this site, signed by central.
 * @throws PlantgateError SIGNATURE_INVALID, KEY_UNKNOWN; CONFIG_INVALID, naming what this gateway does not know; PEER_UNREACHABLE
 */
export async function readBundle(
  jws: string,
  from: "central" | "disk",
  { site, centralKeys, version }: ReaderDeps,
): Promise<Bundle> {
  const payload = await centralKeys.verify(jws, from);
  const parsed = bundle.safeParse(parseJson(Buffer.from(payload).toString("utf8")));
  if (!parsed.success) {
    const unknown = unknownKeys(parsed.error.issues);
    const newer = `this gateway (${version}) does not know ${unknown.join(", ")}: a newer gateway is needed`;
    const reason = unknown.length === 0 ? describeIssues(parsed.error) : newer;
    throw new PlantgateError("CONFIG_INVALID", `the bundle is not valid: ${reason}`);
  }
  if (parsed.data.site !== site)
    throw new PlantgateError("SIGNATURE_INVALID", `the bundle is for site "${parsed.data.site}", and this is "${site}"`);
  return parsed.data;
}

/** Keys and kinds that a newer version has, each with its path; ten at most. */
function unknownKeys(issues: readonly z.core.$ZodIssue[], at: readonly PropertyKey[] = []): string[] {
  return issues
    .flatMap((issue) => {
      const path = [...at, ...issue.path];
      if (issue.code === "unrecognized_keys") return issue.keys.map((key) => [...path, key].join("."));
      if (issue.code !== "invalid_union") return [];
      // of no alternative: its kind is not known, or it is the one in which the fewest things are wrong
      if (issue.errors.length === 0) return [path.join(".")];
      const [nearest = []] = issue.errors.toSorted((a, b) => a.length - b.length);
      return unknownKeys(nearest, path);
    })
    .slice(0, 10);
}
