import { z } from "zod";
import { duration } from "../measure.ts";
import { secretRef } from "./shared.ts";

/** A node by namespace URI: `nsu=urn:press;s=Temp`. Namespace indexes change with a server's restart and are refused. */
export const nodeAddress = z
  .string()
  .regex(/^(nsu=[^;]+;)?[isgb]=.+$/, 'a node such as "nsu=urn:press;s=Temp"; a namespace index (ns=2) is not accepted');

export const opcuaItem = z.strictObject({
  node: nodeAddress.meta({ description: "By namespace URI: nsu=urn:press;s=Temp." }),
  unit: z.string().max(16).optional().meta({ description: "UN/ECE Rec 20 code, where the node's EUInformation does not say." }),
  access: z.enum(["read", "write", "readWrite"]).default("read").meta({ description: "What flows may do with it." }),
  sampling: duration.default("100ms").meta({ description: "Sampling interval; 0ms: every change." }),
  queueSize: z
    .int()
    .min(1)
    .max(100_000)
    .default(600)
    .meta({ description: "Values the server keeps per item while we are away: rate × seconds to bridge." }),
});

/** Client of an OPC UA server: one session, one subscription. */
export const opcuaConnector = z.strictObject({
  type: z.literal("opcua"),
  endpoint: z
    .string()
    .regex(/^opc\.tcp:\/\/[^\s]+$/, "an address such as opc.tcp://press-7.plant:4840")
    .meta({ description: "The server's address." }),
  security: z
    .strictObject({
      mode: z.enum(["None", "Sign", "SignAndEncrypt"]).default("None").meta({ description: "Message security mode." }),
      policy: z
        .enum(["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"])
        .default("None")
        .meta({ description: "Security policy." }),
    })
    .optional()
    .meta({ description: "How the channel is secured; default: not at all." }),
  auth: z
    .strictObject({ username: z.string().min(1).meta({ description: "By which the server knows it." }), password: secretRef })
    .optional()
    .meta({ description: "User of the session; default: anonymous." }),
  trust: z
    .array(z.string().regex(/^[0-9a-fA-F]{40}$/))
    .default([])
    .meta({ description: "SHA-1 thumbprints of server certificates that a person has checked." }),
  publishing: duration.default("200ms").meta({ description: "Publishing interval." }),
  sessionTimeout: duration.default("120s").meta({ description: "The longest outage that the server bridges for us." }),
  items: z
    .record(z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/), opcuaItem)
    .meta({ description: "What flows can name of the server." }),
});
export type OpcuaConnectorConfig = z.infer<typeof opcuaConnector>;
