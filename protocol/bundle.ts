import { z } from "zod";
import { connectorConfig, flowConfig } from "./flow-config.ts";
import { keyPolicy, linkPolicy, logLevel, watchPolicy } from "./policy/settings.ts";
import { queuePolicy } from "./queue-policy.ts";
import { identifier, instant } from "./types/common.ts";

/**
 * What one site runs: a template rendered with the site's parameters (no `${…}` left, `forEach` unrolled) and the policies that select
 * it, signed by central as a compact JWS (EdDSA). It holds no date and no secret: the same documents give the same bytes. Connectors of a `forEach` are named `<connector>.<element name>` and keep the template's name as `group`.
 * Instances are strict: a gateway refuses a bundle with a key that it does not know.
 */
export const bundle = z.strictObject({
  apiVersion: z.literal("plantgate/v1"),
  kind: z.literal("Bundle"),
  site: identifier,
  revision: z.int().min(1),
  /** Only in bundles of earlier versions, which lie on the disks of gateways. */
  createdAt: instant.optional(),
  /** Type of messages that the site may send and receive, full names. */
  grants: z.strictObject({ send: z.array(identifier), receive: z.array(identifier) }),
  /** Named tables of codes, as `$site` and `$quantity` read them: scheme → code → value. */
  codes: z.record(z.string(), z.record(z.string(), z.string())),
  connectors: z.record(identifier, z.strictObject({ group: identifier, config: connectorConfig })),
  flows: z.record(identifier, flowConfig),
  /** Each of these is there where a document says something of it, and whole then; else defaults apply. */
  queue: queuePolicy.optional(),
  link: linkPolicy.optional(),
  keys: keyPolicy.optional(),
  watch: watchPolicy.optional(),
  /** Without it the gateway's own setting. */
  logLevel: logLevel.optional(),
});
export type Bundle = z.infer<typeof bundle>;
