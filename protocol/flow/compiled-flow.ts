import type { Bundle } from "../bundle.ts";
import type { FlowConfig, LocalDestination, LocalSource } from "../flow-config.ts";
import type { MessageType } from "../types/message-type.ts";
import type { EvaluationLimits, Expression } from "./expression.ts";
import type { Codes } from "./functions.ts";
import type { TopicTemplate } from "./topic-template.ts";

/** One thing that is wrong in a flow; `path` leads into its configuration, `offset` into the text there. */
export interface FlowProblem {
  readonly path: readonly (string | number)[];
  readonly offset?: number;
  /** The problem is the key, not its value. */
  readonly key?: boolean;
  /** The flow maps all the same: something is not allowed, or not there to send to. */
  readonly aside?: boolean;
  readonly message: string;
}

/** What flows are judged against. */
export interface FlowContext {
  readonly site: string;
  readonly connectors: Bundle["connectors"];
  /** Types that the site may send and receive, full names; absent where a template is judged without its site. */
  readonly grants?: Bundle["grants"];
  /** Every connector of the template, also one without instances, or with problems of its own that were said already. */
  readonly groups?: ReadonlySet<string>;
  /** Which connectors there are is not to be known. */
  readonly openConnectors?: boolean;
  /** Connectors whose items are not to be known. */
  readonly openItems?: ReadonlySet<string>;
  readonly codes: Codes;
  readonly limits?: EvaluationLimits;
  /** Whether what a flow has at a path stands in for something wrong: what rests on it is not judged. */
  readonly isStandIn?: (path: readonly (string | number)[]) => boolean;
}

/** A key: one expression, or several that are joined. */
export interface KeyExpression {
  readonly list: boolean;
  readonly parts: readonly Expression[];
}

export interface CompiledDestination {
  /** One destination, its connector an instance's name. */
  readonly config: LocalDestination;
  /** Its place in `to` once groups are expanded, as in a bundle: how deliveries name it. */
  readonly index: number;
  /** Its place in `to` as it was written. */
  readonly writtenAs: number;
  readonly template?: TopicTemplate;
  readonly body?: Expression;
  readonly value?: Expression;
  readonly serialize?: Expression;
  /** The instant after which it is too late. */
  readonly expiresAt?: Expression;
  readonly accepted?: {
    readonly match: KeyExpression;
    readonly equals?: KeyExpression;
    readonly is: Expression;
    readonly reason: Expression;
  };
}

export interface CompiledFlow {
  readonly name: string;
  readonly site: string;
  readonly config: FlowConfig;
  /** What its messages are; absent where they come from central. */
  readonly type?: MessageType;
  /** Groups expanded: each names one connector. Empty where the flow is fed by central. */
  readonly sources: readonly LocalSource[];
  /** Types that it takes from central, full names. */
  readonly central?: { readonly types: readonly string[]; readonly sites?: string };
  readonly split?: Expression;
  readonly map?: Expression | ReadonlyMap<string, Expression>;
  readonly key?: KeyExpression;
  readonly idempotencyKey?: KeyExpression;
  /** Cursor of a poll, by connector. */
  readonly cursors: ReadonlyMap<string, Expression>;
  readonly toCentral: boolean;
  readonly toSite?: Expression;
  /** Local destinations, groups expanded. */
  readonly destinations: readonly CompiledDestination[];
  /** No expression of its way in needs JSONata's evaluator: it may run where nobody can end it. */
  readonly fast: boolean;
}

/** The connectors that a reference means: itself, or every instance of a group. */
export function instancesOf(reference: string, connectors: Bundle["connectors"]): string[] {
  if (Object.hasOwn(connectors, reference)) return [reference];
  return Object.keys(connectors).filter((name) => connectors[name]?.group === reference);
}

/** A flow whose sources and destinations name instances only; expanding again changes nothing. */
export function expandFlow(config: FlowConfig, connectors: Bundle["connectors"]): FlowConfig {
  const expand = <Entry extends object>(entry: Entry): Entry[] =>
    "connector" in entry
      ? instancesOf(String(entry.connector), connectors).map((connector) => ({ ...entry, connector }))
      : [entry];
  const from = config.from;
  if (!Array.isArray(from) && "central" in from) return { ...config, to: config.to.flatMap(expand) };
  const sources = (Array.isArray(from) ? from : [from]).flatMap(expand);
  const [only] = sources;
  return { ...config, from: sources.length === 1 && only ? only : sources, to: config.to.flatMap(expand) };
}

/** `pick.confirmed` of `mfg.pick.confirmed.v1`. */
export function shortName(type: string): string {
  return type.replace(/^mfg\.(.+)\.v1$/, "$1");
}
