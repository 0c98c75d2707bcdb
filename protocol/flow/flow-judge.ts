import { odooSources } from "../connector/odoo.ts";
import type { FlowConfig, LocalDestination, LocalSource } from "../flow-config.ts";
import { findMessageType, messageTypes } from "../types/index.ts";
import type { MessageType } from "../types/message-type.ts";
import { type CompiledDestination, type CompiledFlow, type FlowContext, shortName } from "./compiled-flow.ts";
import type { Expression, InputName } from "./expression.ts";
import { checkFields, type Scope } from "./names.ts";
import { PartJudge } from "./part-judge.ts";
import { didYouMean, misspelt } from "./suggest.ts";
import { templateFilter } from "./topic-template.ts";

/** The message that each ERP operation books. */
const bookedBy = {
  "transfer.confirm": "mfg.pick.confirmed.v1",
  "shortage.note": "mfg.shortage.reported.v1",
  "production.report": "mfg.finished-goods.confirmed.v1",
  "material.consume": "mfg.material.consumed.v1",
  "scrap.book": "mfg.scrap.reported.v1",
} as const;

const sampled = "equipment.sampled";

/** Judges one flow while it compiles it; what cannot be compiled is left out, with a problem that says why. */
export class FlowJudge extends PartJudge {
  readonly #config: FlowConfig;

  constructor(config: FlowConfig, context: FlowContext) {
    super(context);
    this.#config = config;
  }

  compile(name: string): CompiledFlow {
    const config = this.#config;
    const written = config.from;
    const fromCentral = !Array.isArray(written) && "central" in written ? written : undefined;
    const writtenSources: readonly LocalSource[] = fromCentral ? [] : Array.isArray(written) ? written : [written as LocalSource];
    const sources = writtenSources.flatMap((source, index) =>
      this.source(source, Array.isArray(written) ? ["from", index] : ["from"]),
    );
    const central = fromCentral ? this.#central(fromCentral) : undefined;
    const type = fromCentral ? undefined : this.#type(writtenSources);
    const types = central ? central.from.types : type ? [type.type] : [];
    // of a type that is unknown nobody knows the fields
    const shapes = this.#shapes(central && !central.complete ? [] : types);

    const inward: InputName[] = ["payload"];
    if (writtenSources.some((source) => "topic" in source)) inward.push("topic");
    const split = config.split === undefined ? undefined : this.expression(["split"], config.split, inward);
    if (config.split !== undefined || this.isStandIn(["split"])) inward.push("line");
    const map = this.#map(inward, type);
    const withData = { names: [...inward, "data" as const], functions: this.functions, shapes };
    const key = config.key === undefined ? undefined : this.key(["key"], config.key, withData);
    const idempotencyKey =
      config.idempotencyKey === undefined ? undefined : this.key(["idempotencyKey"], config.idempotencyKey, withData);

    const outward = { names: ["data" as const, "message" as const], functions: this.functions, shapes };
    const destinations: CompiledDestination[] = [];
    let toCentral = false;
    let toSite: Expression | undefined;
    let expanded = 0;
    config.to.forEach((to, index) => {
      const path = ["to", index];
      if ("central" in to || "site" in to) {
        if (fromCentral)
          this.say(path, "a message from central is delivered to a connector of this site; it cannot be sent on from here");
        if (toCentral || toSite)
          this.say(path, "a flow goes to central once: with central: true to every consumer, or with site to one");
        if ("central" in to) toCentral = true;
        else toSite = this.expression([...path, "site"], to.site, withData.names, withData.shapes);
        expanded += 1;
        return;
      }
      for (const destination of this.#destination(to, index, outward, types))
        destinations.push({ ...destination, index: expanded++ });
    });

    const cursors = new Map<string, Expression>();
    for (const { source, connectors, path } of this.polls) {
      if (source.cursor === undefined) continue;
      const expression = this.expression([...path, "cursor"], source.cursor, ["payload"]);
      if (expression) for (const connector of connectors) cursors.set(connector, expression);
    }
    const inwardExpressions = [
      split,
      ...(map instanceof Map ? map.values() : [map as Expression | undefined]),
      ...(key?.parts ?? []),
      ...(idempotencyKey?.parts ?? []),
      toSite,
      ...cursors.values(),
    ];
    return {
      name,
      site: this.context.site,
      config,
      ...(type ? { type } : {}),
      sources,
      ...(central ? { central: central.from } : {}),
      ...(split ? { split } : {}),
      ...(map ? { map } : {}),
      ...(key ? { key } : {}),
      ...(idempotencyKey ? { idempotencyKey } : {}),
      cursors,
      toCentral,
      ...(toSite ? { toSite } : {}),
      destinations,
      fast: inwardExpressions.every((expression) => expression === undefined || expression.sync !== undefined),
    };
  }

  #typeNamed(name: string, path: (string | number)[]): MessageType | undefined {
    const type = findMessageType(name);
    if (!type)
      this.say(
        path,
        `unknown message type "${name}"${didYouMean(
          name,
          messageTypes.map((entry) => shortName(entry.type)),
        )}`,
      );
    return type;
  }

  #central(from: Extract<FlowConfig["from"], { central: unknown }>): {
    readonly from: NonNullable<CompiledFlow["central"]>;
    readonly complete: boolean;
  } {
    const names = Array.isArray(from.central) ? from.central : [from.central];
    const types = names.flatMap((name, index) => {
      const path = Array.isArray(from.central) ? ["from", "central", index] : ["from", "central"];
      const type = this.#typeNamed(name, path);
      if (type && this.context.grants && !this.context.grants.receive.includes(type.type)) {
        this.once(path, `site "${this.context.site}" may not receive ${shortName(type.type)}: it is not in its grants.receive`);
      }
      return type ? [type.type] : [];
    });
    for (const field of ["as", "map", "split", "key", "idempotencyKey"] as const) {
      if (this.#config[field] !== undefined)
        this.say([field], `a message from central is canonical already: "${field}" is for local sources`);
    }
    return {
      from: { types, ...(from.sites === undefined ? {} : { sites: from.sites }) },
      complete: types.length === names.length,
    };
  }

  #type(sources: readonly LocalSource[]): MessageType | undefined {
    const { as, map } = this.#config;
    const canonical = new Set(
      sources.map((source) => ("source" in source ? source.source : "items" in source ? sampled : undefined)),
    );
    const [implied] = canonical;
    if (as === undefined && this.isStandIn(["as"])) return undefined;
    if (as === undefined && (canonical.size !== 1 || implied === undefined)) {
      this.say([], '"as" is missing: the canonical type that the input becomes');
      return undefined;
    }
    const type = this.#typeNamed(as ?? implied ?? "", ["as"]);
    if (!type) return undefined;
    for (const name of canonical) {
      if (map === undefined && !this.isStandIn(["map"]) && name !== undefined && shortName(type.type) !== name)
        this.say(["as"], `this source brings ${name}; as ${shortName(type.type)} it needs a "map"`);
      if (map !== undefined && name !== undefined && (odooSources as readonly string[]).includes(name))
        this.say(["map"], `source ${name} is canonical already`);
    }
    if (this.context.grants && !this.context.grants.send.includes(type.type)) {
      this.once(
        as === undefined ? ["from"] : ["as"],
        `site "${this.context.site}" may not send ${shortName(type.type)}: it is not in its grants.send`,
      );
    }
    return type;
  }

  #map(names: readonly InputName[], type: MessageType | undefined): CompiledFlow["map"] {
    const { map } = this.#config;
    if (map === undefined) return undefined;
    if (typeof map === "string") {
      const expression = this.expression(["map"], map, names);
      if (expression && type) {
        for (const { offset, message } of checkFields(expression.ast, type.data, shortName(type.type)))
          this.say(["map"], message, offset);
      }
      return expression;
    }
    const fields = new Map<string, Expression>();
    const shape: Record<string, unknown> = type && "shape" in type.data ? (type.data.shape as Record<string, unknown>) : {};
    for (const [field, text] of Object.entries(map)) {
      if (type && !Object.hasOwn(shape, field))
        this.problems.push({
          path: ["map", field],
          key: true,
          message: `${shortName(type.type)} has no field "${field}"${didYouMean(field, Object.keys(shape))}`,
        });
      const known = this.problems.length;
      const expression = this.expression(["map", field], text, names);
      if (expression && !expression.sync && this.problems.length === known)
        this.say(
          ["map", field],
          "a field of this map is a path, a literal in quotes, or these joined by &; for more, write the map as one expression",
        );
      if (expression) fields.set(field, expression);
    }
    if (type) {
      const meant = misspelt(Object.keys(map), Object.keys(shape));
      const missing = Object.entries(shape)
        .filter(
          ([field, schema]) =>
            !Object.hasOwn(map, field) &&
            !meant.has(field) &&
            !(schema as { safeParse(value: unknown): { success: boolean } }).safeParse(undefined).success,
        )
        .map(([field]) => `"${field}"`);
      if (missing.length > 0) this.say(["map"], `${shortName(type.type)} needs ${missing.join(", ")}`);
    }
    return fields;
  }

  #shapes(types: readonly string[]): Scope["shapes"] {
    const [only] = types;
    const type = types.length === 1 && only !== undefined ? findMessageType(only) : undefined;
    return type ? { data: type.data } : {};
  }

  #destination(
    to: LocalDestination,
    index: number,
    scope: Scope,
    types: readonly string[],
  ): Omit<CompiledDestination, "index">[] {
    const path = ["to", index];
    const need = "topic" in to ? "topic" : "post" in to ? "post" : "write" in to ? "write" : "operation";
    const names = this.connectors(to.connector, path, need);
    const one = (field: string, text: string | undefined): Expression | undefined =>
      text === undefined ? undefined : this.expression([...path, ...field.split(".")], text, scope.names, scope.shapes);
    let parts: Omit<CompiledDestination, "config" | "writtenAs" | "index"> = {};
    if ("topic" in to || "post" in to) {
      const template = this.template([...path, need], "topic" in to ? to.topic : to.post, scope);
      const body = one("body", to.body);
      parts = { ...(template ? { template } : {}), ...(body ? { body } : {}) };
      if ("post" in to && !to.post.startsWith("/")) this.say([...path, "post"], "a path begins with /");
      if ("topic" in to) {
        const literal = template?.parts.filter((part) => typeof part === "string").join("") ?? "";
        if (/[+#\p{Cc}]/u.test(literal)) this.say([...path, "topic"], "a topic that is published to has no wildcards");
        for (const name of names) {
          const connector = this.context.connectors[name]?.config;
          if (connector?.type !== "mqtt" && connector?.type !== "mqtt-broker") continue;
          if (template)
            this.granted([...path, "topic"], templateFilter(template), connector.grants.publish, to.connector, "publish");
          if (to.accepted)
            this.granted(
              [...path, "accepted", "topic"],
              to.accepted.topic,
              connector.grants.subscribe,
              to.connector,
              "subscribe",
            );
        }
        if (to.accepted) parts = { ...parts, ...this.#accepted([...path, "accepted"], to.accepted, scope) };
      }
    } else if ("write" in to) {
      const value = one("value", to.value);
      parts = value ? { value } : {};
      for (const name of names) {
        const connector = this.context.connectors[name]?.config;
        if (connector?.type !== "opcua" || this.context.openItems?.has(name)) continue;
        const item = Object.hasOwn(connector.items, to.write) ? connector.items[to.write] : undefined;
        if (!item)
          this.once(
            [...path, "write"],
            `"${to.connector}" has no item "${to.write}"${didYouMean(to.write, Object.keys(connector.items))}`,
          );
        else if (item.access === "read")
          this.once([...path, "write"], `item "${to.write}" can only be read; writing wants access: write`);
      }
    } else {
      const serialize = one("serialize", to.serialize);
      parts = serialize ? { serialize } : {};
      const wanted = bookedBy[to.operation];
      for (const type of types)
        if (type !== wanted)
          this.say([...path, "operation"], `${to.operation} books ${shortName(wanted)}, not ${shortName(type)}`);
    }
    const expiresAt = one("expires.at", to.expires?.at);
    if (to.expires && (to.expires.after === undefined) === (to.expires.at === undefined))
      this.say([...path, "expires"], '"expires" has one of "after" and "at"');
    return names.map((connector) => ({
      config: { ...to, connector },
      writtenAs: index,
      ...parts,
      ...(expiresAt ? { expiresAt } : {}),
    }));
  }

  #accepted(
    path: (string | number)[],
    accepted: NonNullable<Extract<LocalDestination, { topic: string }>["accepted"]>,
    scope: Scope,
  ): Pick<CompiledDestination, "accepted"> {
    const answer: Scope = { names: ["payload"], functions: this.functions };
    const match = this.key([...path, "match"], accepted.match, answer);
    const equals = accepted.equals === undefined ? undefined : this.key([...path, "equals"], accepted.equals, scope);
    const comparable = !this.isStandIn([...path, "match"]) && !this.isStandIn([...path, "equals"]);
    if (comparable && (match.list !== (equals?.list ?? false) || (equals && match.parts.length !== equals.parts.length))) {
      this.say(
        [...path, "match"],
        equals ? '"match" and "equals" need the same parts' : 'a list needs "equals": a message\'s ordering key is one value',
      );
    }
    const is = this.expression([...path, "is"], accepted.is, answer.names);
    const reason = this.expression([...path, "reason"], accepted.reason, answer.names);
    return is && reason ? { accepted: { match, ...(equals ? { equals } : {}), is, reason } } : {};
  }
}
