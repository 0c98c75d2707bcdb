import { z } from "zod";
import { connectorTypes } from "./connector/shared.ts";
import { effect, onExhausted, retry } from "./delivery-class.ts";
import { duration } from "./measure.ts";
import { type Partly, partly } from "./policy/partial.ts";
import { type Settings, saidSettings } from "./policy/settings.ts";
import { identifier, name, text } from "./types/common.ts";

/** Named tables of codes: scheme → code → value, for `$site(scheme, code)` and `$quantity(value, unit, scheme)`. */
const codes = z.record(z.string(), z.record(z.string(), z.string()));

const elementType = z.union([
  z.enum(["string", "number", "boolean", "uri", "integer"]),
  z.strictObject({
    type: z.enum(["string", "number", "boolean", "uri", "integer"]).meta({ description: "What each element has there." }),
    default: z.json().optional().meta({ description: "What holds for an element that has none." }),
    purpose: text.optional().meta({ description: "What it is for." }),
  }),
]);
const parameter = z.strictObject({
  type: z.enum(["string", "number", "integer", "boolean", "object", "array"]).meta({ description: "What a site has to give." }),
  format: z.enum(["uri"]).optional().meta({ description: "uri: an address such as https://host:port." }),
  of: z.record(z.string(), elementType).optional().meta({ description: "Fields of each element of an array." }),
  values: z
    .array(z.union([z.string(), z.boolean()]))
    .optional()
    .meta({ description: "The values that it may have; of an object, each of its fields." }),
  default: z.json().optional().meta({ description: "What holds for a site that gives none." }),
  purpose: text.optional().meta({ description: "What it is for." }),
});
export type Parameter = z.infer<typeof parameter>;

const metadata = z.strictObject({
  name: name.meta({ description: "Unique among documents of its kind." }),
  owner: z.string().min(1).max(256).meta({ description: "Who answers for it: integration@example.com." }),
  purpose: text.min(1).meta({ description: "What it is for." }),
  labels: z.record(z.string(), z.string()).optional().meta({
    description: "Of a site: environment, region, businessUnit and others, by which policies select it.",
  }),
});

/** A template before it is rendered: connectors and flows may hold `${…}` and `forEach`, so they are judged once rendered. */
export const template = z.strictObject({
  apiVersion: z.literal("plantgate/v1"),
  kind: z.literal("Template"),
  metadata,
  spec: z.strictObject({
    parameters: z
      .record(name, parameter)
      .default({})
      .meta({ description: "What each site gives; ${name} stands for its value." }),
    codes: codes.default({}).meta({ description: "Tables of codes for $site and $quantity: scheme, code, value." }),
    connectors: z.record(name, z.looseObject({})).default({}).meta({ description: "The systems of a plant, by name." }),
    flows: z.record(name, z.looseObject({})).default({}).meta({ description: "What comes from where and goes where, by name." }),
  }),
});
export type Template = z.infer<typeof template>;

/** Which deliveries are meant: all that are left out may be any. */
const deliveryRule = z.strictObject({
  connector: name.optional().meta({ description: "Of this connector, or of all instances of a forEach of this name." }),
  type: z.enum(connectorTypes).optional().meta({ description: "Of connectors of this type." }),
  flow: name.optional().meta({ description: "Of this flow, or of all instances of a forEach of this name." }),
  retry: partly(retry).optional().meta({ description: "How often and when it is tried." }),
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
    template: name.meta({ description: "The template that it runs." }),
    timeZone: z.string().default("UTC").meta({ description: "IANA time zone, such as Europe/Paris." }),
    parameters: z.record(name, z.json()).default({}).meta({ description: "Values for the template's parameters." }),
    grants: z
      .strictObject({
        send: z.array(identifier).default([]).meta({ description: "Types of messages that it may send." }),
        receive: z.array(identifier).default([]).meta({ description: "Types of messages that it may get." }),
      })
      .meta({ description: "What it may send to central and get from it; nothing else passes." }),
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
    review: z
      .strictObject({ required: z.boolean().meta({ description: "Whether somebody else than its author has to approve it." }) })
      .optional()
      .meta({
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
        .optional()
        .meta({ description: "How often it is to be changed." }),
    })
    .default({}),
});
export type Secret = z.infer<typeof secret>;

export type Document = Template | Policy | Site | Secret;
