import { z } from "zod";
import { connectorConfig, flowConfig } from "./document.ts";
import { queuePolicy } from "./queue-policy.ts";
import { identifier, instant } from "./types/common.ts";

/**
 * What one site runs: templates rendered with the site's parameters (no `${…}` left, `forEach` unrolled), signed by central as a
 * compact JWS (EdDSA). Connectors of a `forEach` are named `<connector>.<element name>` and keep the template's name as `group`.
 * Instances are strict: a gateway refuses a bundle with a key that it does not know.
 */
export const bundle = z.strictObject({
  apiVersion: z.literal("plantgate/v1"),
  kind: z.literal("Bundle"),
  site: identifier,
  revision: z.int().min(1),
  createdAt: instant,
  /** Type of messages that the site may send and receive, full names. */
  grants: z.strictObject({ send: z.array(identifier), receive: z.array(identifier) }),
  /** Named tables of codes, as `$site` and `$quantity` read them: scheme → code → value. */
  codes: z.record(z.string(), z.record(z.string(), z.string())),
  connectors: z.record(identifier, z.strictObject({ group: identifier, config: connectorConfig })),
  flows: z.record(identifier, flowConfig),
  /** Without it the defaults apply. */
  queue: queuePolicy.optional(),
});
export type Bundle = z.infer<typeof bundle>;
