import { z } from "zod";
import { httpConnector } from "./connector/http.ts";
import { mqttBrokerConnector, mqttConnector } from "./connector/mqtt.ts";
import { odooConnector, odooOperations, odooSources } from "./connector/odoo.ts";
import { opcuaConnector } from "./connector/opcua.ts";
import { connectorTypes, topicFilter } from "./connector/shared.ts";
import { effect, onExhausted, retry } from "./delivery-class.ts";
import { duration } from "./measure.ts";
import { type Partly, partly } from "./policy/partial.ts";
import { type Settings, saidSettings } from "./policy/settings.ts";
import { identifier, text } from "./types/common.ts";

/** The name of a document, connector, flow or parameter. */
export const name = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}$/, "a name: a letter, then letters, digits, dot, dash, underscore");

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

/** Where messages come from. */
export const fromTopic = z.strictObject({
  connector: name,
  topic: topicFilter,
  retained: z.enum(["skip", "state"]).default("skip"),
});
export const fromWebhook = z.strictObject({
  connector: name,
  webhook: z.string().regex(/^\/[A-Za-z0-9/_-]*$/, "a path such as /schedule"),
  verify: z.strictObject({ hmac: z.strictObject({ secret: z.string().min(1), header: z.string().min(1) }) }).optional(),
});
export const fromPoll = z.strictObject({
  connector: name,
  /** `{cursor}` is the last committed cursor. */
  poll: z.string().startsWith("/"),
  every: duration.default("10s"),
  cursor: expression
    .optional()
    .meta({ description: "JSONata over payload: the cursor that the next poll sends; committed with the messages." }),
  start: z.string().default("0"),
});
export const fromItems = z.strictObject({ connector: name, items: z.array(z.string().min(1)).min(1) });
export const fromSource = z.strictObject({ connector: name, source: z.enum(odooSources), overlap: duration.default("5m") });
export const fromCentral = z.strictObject({
  central: z.union([identifier, z.array(identifier).min(1)]),
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
  topic: topicFilter,
  match: keyExpression.meta({ description: "JSONata over the answer's payload; has to equal `equals`." }),
  equals: keyExpression.optional().meta({ description: "JSONata over the message; default: its ordering key." }),
  is: expression.default("payload.accepted != false").meta({ description: "Whether the answer is a yes." }),
  reason: expression.default("payload.reason"),
  within: duration.default("60s"),
});

/**
 * For how long a message is worth carrying out, one of: `after`, counted from when it was recorded; until the instant that `at` says (JSONata
 * over the message), counted from when it happened. Measured by running time (P10). What is too late is not sent, and reported.
 */
const expires = z
  .strictObject({
    after: duration.optional(),
    at: expression.optional(),
    // biome-ignore lint/suspicious/noThenProperty: a word of the configuration language, never a function
    then: z.literal("exception").default("exception"),
  })
  .optional();

/** How one destination is tried, where it is not as its flow says. */
const delivering = { retry: partly(retry).optional(), onExhausted: onExhausted.optional() };

export const toCentral = z.strictObject({ central: z.literal(true) });
export const toSite = z.strictObject({ site: expression, noSite: z.literal("exception").default("exception") });
export const toTopic = z.strictObject({
  connector: name,
  topic: pathTemplate,
  qos: z.union([z.literal(0), z.literal(1)]).default(1),
  retain: z.boolean().default(false),
  body: expression.optional().meta({ description: "JSONata over data and message; default: data." }),
  accepted: accepted.optional(),
  effect: effect.default("idempotent"),
  ...delivering,
  expires,
});
export const toPost = z.strictObject({
  connector: name,
  post: pathTemplate,
  body: expression.optional(),
  effect: effect.default("idempotent"),
  ...delivering,
  expires,
});
export const toWrite = z.strictObject({
  connector: name,
  write: z.string().min(1),
  value: expression,
  effect: effect.default("checkable"),
  ...delivering,
  expires,
});
export const toOperation = z.strictObject({
  connector: name,
  operation: z.enum(odooOperations),
  serialize: expression.optional().meta({ description: "Only one at a time per value of this; default: the ordering key." }),
  effect: effect.default("checkable"),
  ...delivering,
  expires,
});
export const localDestination = z.union([toTopic, toPost, toWrite, toOperation]);
export type LocalDestination = z.infer<typeof localDestination>;
export type ToTopic = z.infer<typeof toTopic>;

export const exampleRef = z.strictObject({ given: z.string().min(1), expect: z.string().min(1), topic: z.string().optional() });

/** A flow once rendered. Which fields go together is judged by protocol/flow. */
export const flowConfig = z.strictObject({
  purpose: text.min(1),
  owner: z.string().max(256).optional(),
  /** Phased go-live. `shadow`: maps, validates and notes what it would do, and touches no target. `off`: takes nothing. */
  mode: z.enum(["off", "shadow", "live"]).default("live"),
  from: z.union([localSource, fromCentral, z.array(localSource).min(1)]),
  split: expression.optional().meta({ description: "One input, many messages: JSONata to the list of lines; all or none." }),
  as: identifier.optional(),
  map: z
    .union([expression, z.record(z.string(), z.string())])
    .optional()
    .meta({ description: "JSONata to the canonical data; or, for samples, field → path." }),
  key: keyExpression.optional(),
  idempotencyKey: keyExpression.optional(),
  to: z.array(z.union([toCentral, toSite, toTopic, toPost, toWrite, toOperation])).min(1),
  /** `key`: messages of one ordering key are delivered in order, a failing one holds the later ones. `none`: each stands alone (P4). */
  order: z.enum(["key", "none"]).default("key"),
  retry: retry.prefault({}),
  onExhausted: onExhausted.default("block"),
  examples: z.array(exampleRef).optional(),
});
export type FlowConfig = z.infer<typeof flowConfig>;

/** Named tables of codes: scheme → code → value, for `$site(scheme, code)` and `$quantity(value, unit, scheme)`. */
const codes = z.record(z.string(), z.record(z.string(), z.string()));

const elementType = z.union([
  z.enum(["string", "number", "boolean", "uri", "integer"]),
  z.strictObject({
    type: z.enum(["string", "number", "boolean", "uri", "integer"]),
    default: z.json().optional(),
    purpose: text.optional(),
  }),
]);
const parameter = z.strictObject({
  type: z.enum(["string", "number", "integer", "boolean", "object", "array"]),
  format: z.enum(["uri"]).optional(),
  of: z.record(z.string(), elementType).optional().meta({ description: "Fields of each element of an array." }),
  values: z.array(z.union([z.string(), z.boolean()])).optional(),
  default: z.json().optional(),
  purpose: text.optional(),
});
export type Parameter = z.infer<typeof parameter>;

const metadata = z.strictObject({
  name,
  owner: z.string().min(1).max(256),
  purpose: text.min(1),
  labels: z.record(z.string(), z.string()).optional(),
});

/** A template before it is rendered: connectors and flows may hold `${…}` and `forEach`, so they are judged once rendered. */
export const template = z.strictObject({
  apiVersion: z.literal("plantgate/v1"),
  kind: z.literal("Template"),
  metadata,
  spec: z.strictObject({
    parameters: z.record(name, parameter).default({}),
    codes: codes.default({}),
    connectors: z.record(name, z.looseObject({})).default({}),
    flows: z.record(name, z.looseObject({})).default({}),
  }),
});
export type Template = z.infer<typeof template>;

/** Which deliveries are meant: all that are left out may be any. */
const deliveryRule = z.strictObject({
  connector: name.optional().meta({ description: "Of this connector, or of all instances of a forEach of this name." }),
  type: z.enum(connectorTypes).optional().meta({ description: "Of connectors of this type." }),
  flow: name.optional().meta({ description: "Of this flow, or of all instances of a forEach of this name." }),
  retry: partly(retry).optional(),
  onExhausted: onExhausted.optional(),
  effect: effect.optional(),
});
export type DeliveryRule = z.infer<typeof deliveryRule>;

/** What a policy says, and a site of itself: any of it. */
const said = {
  ...(saidSettings.shape as Record<keyof Settings, z.ZodType>),
  deliveries: z.array(deliveryRule).min(1).max(100).optional().meta({
    description: "How deliveries are tried, by connector, its type or flow; of several rules the one that names more.",
  }),
} as {
  [Key in keyof Settings]-?: z.ZodOptional<z.ZodType<Partly<Settings[Key]>>>;
} & { deliveries: z.ZodOptional<z.ZodArray<typeof deliveryRule>> };

/** One site: which template it runs, with what, and what it may send and receive. */
export const site = z.strictObject({
  apiVersion: z.literal("plantgate/v1"),
  kind: z.literal("Site"),
  metadata,
  spec: z.strictObject({
    template: name,
    timeZone: z.string().default("UTC").meta({ description: "IANA time zone, such as Europe/Paris." }),
    parameters: z.record(name, z.json()).default({}),
    grants: z.strictObject({ send: z.array(identifier).default([]), receive: z.array(identifier).default([]) }),
    ...said,
  }),
});
export type Site = z.infer<typeof site>;

/** What many sites have in common. Which of several policies a value is taken from: {@link compareRank}. */
export const policy = z.strictObject({
  apiVersion: z.literal("plantgate/v1"),
  kind: z.literal("Policy"),
  metadata,
  spec: z.strictObject({
    selector: z
      .strictObject({
        labels: z.record(z.string().min(1).max(64), z.string().min(1).max(256)).default({}).meta({
          description:
            "Sites that have all of these labels: environment, region, businessUnit or any other; site: the one of this name.",
        }),
      })
      .meta({ description: "Which sites it is for. {}: all." }),
    priority: z.int().min(-1000).max(1000).default(0).meta({
      description: "Between policies that select equally specifically: the higher one is heard.",
    }),
    enforce: z.boolean().default(false).meta({
      description:
        "It is heard before what templates say, and before policies that do not enforce. A Site document is heard before it.",
    }),
    ...said,
    review: z.strictObject({ required: z.boolean() }).optional().meta({
      description:
        "Whether changes of an environment are read by a second person before they reach it; for policies that select by environment alone. Without one: in all but dev.",
    }),
  }),
});
export type Policy = z.infer<typeof policy>;

/** That there is a secret, whose it is and how often it changes. Its value never stands in a document: `plantgate secret set`. */
export const secret = z.strictObject({
  apiVersion: z.literal("plantgate/v1"),
  kind: z.literal("Secret"),
  metadata,
  spec: z
    .strictObject({
      rotate: z
        .strictObject({
          every: duration.meta({ description: "It is to be given a new value when the newest is so old." }),
          warnBefore: duration.default("14d").meta({ description: "How long before that, or before it expires, one is warned." }),
        })
        .optional(),
    })
    .default({}),
});
export type Secret = z.infer<typeof secret>;

export type Document = Template | Policy | Site | Secret;
