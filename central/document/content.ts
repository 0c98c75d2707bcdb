import { createHash } from "node:crypto";
import type { Bundle } from "../../protocol/index.ts";
import type { Planned } from "./planned.ts";

/** What a revision says, whatever its number: the bundle, and what only central reads of the site's document. */
export function contentOf(bundle: Planned["bundle"] & Partial<Bundle>, labels: Planned["labels"]): string {
  const { revision: _, ...says } = bundle;
  return createHash("sha256")
    .update(JSON.stringify([says, labels]))
    .digest("hex");
}
