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
  auth: z.strictObject({ bearer: secretRef }).optional().meta({ description: "What calls carry: Authorization: Bearer." }),
  timeout: duration.default("15s").meta({ description: "How long a call may take." }),
  health: z
    .strictObject({
      path: z.string().startsWith("/").meta({ description: "Path that is asked." }),
      every: duration.default("15s").meta({ description: "Time between two looks." }),
    })
    .optional()
    .meta({ description: "How to see whether it is up while nothing is sent." }),
});
export type HttpConnectorConfig = z.infer<typeof httpConnector>;
