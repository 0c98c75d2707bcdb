import { z } from "zod";
import { httpConnector } from "./connector/http.ts";
import { mqttBrokerConnector, mqttConnector } from "./connector/mqtt.ts";
import { odooConnector, odooOperations, odooSources } from "./connector/odoo.ts";
import { opcuaConnector } from "./connector/opcua.ts";
import { topicFilter } from "./connector/shared.ts";
import { effect, onExhausted, retry } from "./delivery-class.ts";
import { duration } from "./measure.ts";
import { partly } from "./policy/partial.ts";
import { identifier, name, text } from "./types/common.ts";

/** A connector once rendered. */
export const connectorConfig = z.discriminatedUnion("type", [
  mqttConnector,
  mqttBrokerConnector,
  httpConnector,
  opcuaConnector,
  odooConnector,
]);
export type ConnectorConfig = z.infer<typeof connectorConfig>;
export type ConnectorKindName = ConnectorConfig["type"];

/** A JSONata expression; compiled and judged by protocol/flow. */
const expression = z.string().min(1).max(20_000);
/** A topic or path with `{…}` parts, each a JSONata path: `wms/orders/{data.moId}`. */
const pathTemplate = z.string().min(1).max(1024);
const keyExpression = z.union([expression, z.array(expression).min(1).max(8)]);

/** A connector by its name, or all instances of a forEach by its name in the template. */
const connector = name.meta({ description: "A connector, or the group that a forEach makes." });

/** Where messages come from. */
export const fromTopic = z.strictObject({
  connector,
  topic: topicFilter.meta({ description: "MQTT topic filter, among those that the connector may subscribe to." }),
  retained: z.enum(["skip", "state"]).default("skip").meta({
    description: "Retained messages come again with each reconnect. skip: ignored; state: taken as the state they are.",
  }),
});
export const fromWebhook = z.strictObject({
  connector,
  webhook: z
    .string()
    .regex(/^\/[A-Za-z0-9/_-]*$/, "a path such as /schedule")
    .meta({ description: "Path at which the gateway is called: /in/<connector><path>." }),
  verify: z
    .strictObject({ hmac: z.strictObject({ secret: z.string().min(1), header: z.string().min(1) }) })
    .optional()
    .meta({ description: "Calls carry an HMAC-SHA-256 of their body by this secret in this header." }),
});
export const fromPoll = z.strictObject({
  connector,
  poll: z.string().startsWith("/").meta({ description: "Path that is asked; {cursor} is the last committed cursor." }),
  every: duration.default("10s").meta({ description: "Time between two polls." }),
  cursor: expression
    .optional()
    .meta({ description: "JSONata over payload: the cursor that the next poll sends; committed with the messages." }),
  start: z.string().default("0").meta({ description: "The cursor of the first poll." }),
});
export const fromItems = z.strictObject({
  connector,
  items: z.array(z.string().min(1)).min(1).meta({ description: "Items of the connector that are sampled." }),
});
export const fromSource = z.strictObject({
  connector,
  source: z.enum(odooSources).meta({ description: "What the connector brings in." }),
  overlap: duration.default("5m").meta({ description: "How far back each look reaches, for what was written late." }),
});
export const fromCentral = z.strictObject({
  central: z
    .union([identifier, z.array(identifier).min(1)])
    .meta({ description: "Types of messages that central routes here: production-order.released." }),
  sites: z.string().optional().meta({ description: "Only from sites with these labels: environment=prod,region=eu." }),
});
export const localSource = z.union([fromTopic, fromWebhook, fromPoll, fromItems, fromSource]);
export type LocalSource = z.infer<typeof localSource>;
export type FromTopic = z.infer<typeof fromTopic>;
export type FromWebhook = z.infer<typeof fromWebhook>;
export type FromPoll = z.infer<typeof fromPoll>;
export type FromItems = z.infer<typeof fromItems>;
export type FromSource = z.infer<typeof fromSource>;

/** The receiver's own yes, where a transport's acknowledgement is not acceptance. */
const accepted = z.strictObject({
  topic: topicFilter.meta({ description: "Where the receiver answers." }),
  match: keyExpression.meta({ description: "JSONata over the answer's payload; has to equal `equals`." }),
  equals: keyExpression.optional().meta({ description: "JSONata over the message; default: its ordering key." }),
  is: expression.default("payload.accepted != false").meta({ description: "Whether the answer is a yes." }),
  reason: expression.default("payload.reason").meta({ description: "JSONata over the answer's payload: why it is a no." }),
  within: duration.default("60s").meta({ description: "Without an answer for so long it is sent again." }),
});

/**
 * For how long a message is worth carrying out, one of: `after`, counted from when it was recorded; until the instant that `at` says (JSONata
 * over the message), counted from when it happened. Measured by running time (P10). What is too late is not sent, and reported.
 */
const expires = z
  .strictObject({
    after: duration.optional().meta({ description: "Counted from when it was recorded." }),
    at: expression.optional().meta({ description: "JSONata over the message: the instant after which it is too late." }),
    // biome-ignore lint/suspicious/noThenProperty: a word of the configuration language, never a function
    then: z.literal("exception").default("exception"),
  })
  .optional()
  .meta({
    description: "For how long a message is worth carrying out: after or at. What is too late is not sent, and reported.",
  });

/** How one destination is tried, where it is not as its flow says. */
const delivering = {
  retry: partly(retry).optional().meta({ description: "Where this destination is tried otherwise than its flow says." }),
  onExhausted: onExhausted.optional(),
};

export const toCentral = z.strictObject({ central: z.literal(true).meta({ description: "Recorded at central." }) });
export const toSite = z.strictObject({
  site: expression.meta({ description: "JSONata to the name of a site." }),
  noSite: z.literal("exception").default("exception"),
});
export const toTopic = z.strictObject({
  connector,
  topic: pathTemplate.meta({ description: "Topic with {…} parts, each a JSONata path: wms/orders/{data.moId}." }),
  qos: z
    .union([z.literal(0), z.literal(1)])
    .default(1)
    .meta({ description: "1: delivered when the broker has it; 0: when it is sent." }),
  retain: z.boolean().default(false).meta({ description: "The broker keeps the last message of the topic." }),
  body: expression.optional().meta({ description: "JSONata over data and message; default: data." }),
  accepted: accepted
    .optional()
    .meta({ description: "The receiver's own yes, where a broker's acknowledgement is not acceptance." }),
  effect: effect.default("idempotent"),
  ...delivering,
  expires,
});
export const toPost = z.strictObject({
  connector,
  post: pathTemplate.meta({ description: "Path with {…} parts, each a JSONata path: /orders/{data.moId}." }),
  body: expression.optional().meta({ description: "JSONata over data and message; default: data." }),
  effect: effect.default("idempotent"),
  ...delivering,
  expires,
});
export const toWrite = z.strictObject({
  connector,
  write: z.string().min(1).meta({ description: "Item of the connector that is written." }),
  value: expression.meta({ description: "JSONata over data and message: what is written." }),
  effect: effect.default("checkable"),
  ...delivering,
  expires,
});
export const toOperation = z.strictObject({
  connector,
  operation: z.enum(odooOperations).meta({ description: "What the connector books." }),
  serialize: expression.optional().meta({ description: "Only one at a time per value of this; default: the ordering key." }),
  effect: effect.default("checkable"),
  ...delivering,
  expires,
});
export const localDestination = z.union([toTopic, toPost, toWrite, toOperation]);
export type LocalDestination = z.infer<typeof localDestination>;
export type ToTopic = z.infer<typeof toTopic>;

export const exampleRef = z.strictObject({
  given: z.string().min(1).meta({ description: "File with an input." }),
  expect: z.string().min(1).meta({ description: "File with what becomes of it." }),
  topic: z.string().optional().meta({ description: "The topic that the input comes on." }),
});

/** A flow once rendered. Which fields go together is judged by protocol/flow. */
export const flowConfig = z.strictObject({
  purpose: text.min(1).meta({ description: "What it is for, in a sentence that its plant understands." }),
  owner: z.string().max(256).optional().meta({ description: "Who answers for it; default: the template's owner." }),
  mode: z.enum(["off", "shadow", "live"]).default("live").meta({
    description:
      "Phased go-live. shadow: maps, validates and notes what it would do, and touches no target; off: takes nothing. For each site: ${modes.picks}.",
  }),
  from: z
    .union([localSource, fromCentral, z.array(localSource).min(1)])
    .meta({ description: "Where its messages come from: topic, webhook, poll, items or source of a connector, or central." }),
  split: expression.optional().meta({ description: "One input, many messages: JSONata to the list of lines; all or none." }),
  as: identifier.optional().meta({ description: "The canonical type that its messages become: pick.confirmed." }),
  map: z
    .union([expression, z.record(z.string(), z.string())])
    .optional()
    .meta({ description: "JSONata to the canonical data; or, for samples, field → path." }),
  key: keyExpression.optional().meta({ description: "JSONata: the ordering key, as data.moId." }),
  idempotencyKey: keyExpression
    .optional()
    .meta({ description: "JSONata: what makes a repeat of the same input the same message." }),
  to: z
    .array(z.union([toCentral, toSite, toTopic, toPost, toWrite, toOperation]))
    .min(1)
    .meta({ description: "Where they go: central, a site, or topic, post, write or operation of a connector." }),
  order: z.enum(["key", "none"]).default("key").meta({
    description:
      "key: messages of one ordering key are delivered in order, a failing one holds the later ones; none: each stands alone.",
  }),
  retry: retry.prefault({}).meta({ description: "How its deliveries are tried; what it leaves out a policy may say." }),
  onExhausted: onExhausted.default("block"),
  examples: z.array(exampleRef).optional().meta({ description: "Inputs with what becomes of them, run at review." }),
});
export type FlowConfig = z.infer<typeof flowConfig>;
