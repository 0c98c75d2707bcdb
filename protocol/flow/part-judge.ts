import { filterCovers } from "../connector/shared.ts";
import type { LocalSource } from "../flow-config.ts";
import { type FlowContext, type FlowProblem, instancesOf, type KeyExpression } from "./compiled-flow.ts";
import { compileExpression, type Expression, ExpressionError, type InputName } from "./expression.ts";
import { type FlowFunction, flowFunctions } from "./functions.ts";
import { checkNames, type Scope } from "./names.ts";
import { didYouMean } from "./suggest.ts";
import { parseTopicTemplate, type TopicTemplate } from "./topic-template.ts";

/** Which kinds of connector can serve which kind of source or destination. */
const kinds = {
  topic: ["mqtt", "mqtt-broker"],
  webhook: ["http"],
  poll: ["http"],
  items: ["opcua"],
  source: ["odoo"],
  post: ["http"],
  write: ["opcua"],
  operation: ["odoo"],
} as const;

/** Judges what all parts of a flow are made of: sources, connectors and their grants, expressions. */
export abstract class PartJudge {
  readonly problems: FlowProblem[] = [];
  protected readonly context: FlowContext;
  protected readonly functions: readonly FlowFunction[];
  /** Sources that are polled, and by which connectors. */
  protected readonly polls: {
    source: Extract<LocalSource, { poll: string }>;
    connectors: string[];
    path: (string | number)[];
  }[] = [];

  constructor(context: FlowContext) {
    this.context = context;
    this.functions = flowFunctions(context.codes);
  }

  protected say(path: readonly (string | number)[], message: string, offset?: number): void {
    this.problems.push({ path, message, ...(offset === undefined ? {} : { offset }) });
  }

  protected isStandIn(path: readonly (string | number)[]): boolean {
    return this.context.isStandIn?.(path) === true;
  }

  /** The instances of a connector, if it exists and can do what is asked of it. */
  protected connectors(reference: string, path: readonly (string | number)[], need: keyof typeof kinds): string[] {
    const { connectors, groups } = this.context;
    const names = instancesOf(reference, connectors);
    if (names.length === 0 && !groups?.has(reference) && !this.context.openConnectors) {
      const known = new Set(groups ?? Object.entries(connectors).flatMap(([name, { group }]) => [group, name]));
      this.say([...path, "connector"], `there is no connector "${reference}"${didYouMean(reference, known)}`);
    }
    const allowed: readonly string[] = kinds[need];
    const config = names[0] === undefined ? undefined : connectors[names[0]]?.config;
    if (config && !allowed.includes(config.type)) {
      this.say([...path, need], `a connector of type ${config.type} has no "${need}"; that is for ${allowed.join(", ")}`);
      return [];
    }
    if (config?.type === "http" && (need === "poll" || need === "post") && config.url === undefined) {
      this.say([...path, need], `"${reference}" has no url that could be called`);
    }
    return names;
  }

  protected source(source: LocalSource, path: (string | number)[]): LocalSource[] {
    const need =
      "topic" in source
        ? "topic"
        : "webhook" in source
          ? "webhook"
          : "poll" in source
            ? "poll"
            : "items" in source
              ? "items"
              : "source";
    const names = this.connectors(source.connector, path, need);
    for (const name of names) {
      const connector = this.context.connectors[name]?.config;
      if ("topic" in source && (connector?.type === "mqtt" || connector?.type === "mqtt-broker")) {
        this.granted([...path, "topic"], source.topic, connector.grants.subscribe, source.connector, "subscribe");
      }
      if ("items" in source && connector?.type === "opcua" && !this.context.openItems?.has(name)) {
        source.items.forEach((item, index) => {
          const known = Object.hasOwn(connector.items, item) ? connector.items[item] : undefined;
          if (!known)
            this.once(
              [...path, "items", index],
              `"${source.connector}" has no item "${item}"${didYouMean(item, Object.keys(connector.items))}`,
            );
          else if (known.access === "write") this.once([...path, "items", index], `item "${item}" can only be written`);
        });
      }
    }
    if ("webhook" in source && source.verify && !/^[A-Za-z0-9._-]{1,64}$/.test(source.verify.hmac.secret)) {
      this.say([...path, "verify", "hmac", "secret"], "a secret is named here, never written: letters, digits, dot, dash");
    }
    if ("poll" in source) this.polls.push({ source, connectors: names, path });
    return names.map((connector) => ({ ...source, connector }));
  }

  /** Instances of a group share their problems. */
  protected once(path: readonly (string | number)[], message: string): void {
    if (!this.problems.some((problem) => problem.message === message && problem.path.join() === path.join()))
      this.problems.push({ path, message, aside: true });
  }

  protected granted(
    path: (string | number)[],
    filter: string,
    grants: readonly string[],
    connector: string,
    right: "subscribe" | "publish",
  ): void {
    if (grants.some((grant) => filterCovers(grant, filter))) return;
    this.once(
      path,
      `"${filter}" is not among the topics that "${connector}" may ${right}: ${grants.length > 0 ? grants.join(", ") : "it has none"}`,
    );
  }

  protected expression(
    path: (string | number)[],
    text: string,
    names: readonly InputName[],
    shapes: Scope["shapes"] = {},
  ): Expression | undefined {
    try {
      const expression = compileExpression(text, this.functions, this.context.limits);
      for (const { offset, message } of checkNames(expression.ast, { names, functions: this.functions, shapes }))
        this.say(path, message, offset);
      return expression;
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      this.say(path, error.message, error.offset);
      return undefined;
    }
  }

  protected key(path: (string | number)[], key: string | readonly string[], scope: Scope): KeyExpression {
    const list = typeof key !== "string";
    const parts = (list ? key : [key]).flatMap(
      (text, index) => this.expression(list ? [...path, index] : path, text, scope.names, scope.shapes) ?? [],
    );
    return { list, parts };
  }

  protected template(path: (string | number)[], text: string, scope: Scope): TopicTemplate | undefined {
    try {
      const template = parseTopicTemplate(text, this.functions);
      for (const part of template.parts) {
        if (typeof part === "string") continue;
        for (const { offset, message } of checkNames(part.expression.ast, scope)) this.say(path, message, part.offset + offset);
      }
      return template;
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      this.say(path, error.message, error.offset);
      return undefined;
    }
  }
}
