import { z } from "zod";
import { duration } from "../measure.ts";
import { secretRef } from "./shared.ts";

/** An HTTP peer: called (`post`, `poll`, `health`) and calling (`webhook`, served at `/in/<connector><path>` by the gateway). */
export const httpConnector = z.strictObject({
  type: z.literal("http"),
  url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: "Base address; not needed where the peer only calls." }),
  auth: z.strictObject({ bearer: secretRef }).optional(),
  timeout: duration.default("15s"),
  health: z.strictObject({ path: z.string().startsWith("/"), every: duration.default("15s") }).optional(),
});
export type HttpConnectorConfig = z.infer<typeof httpConnector>;
