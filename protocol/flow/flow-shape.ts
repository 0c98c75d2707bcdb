import { z } from "zod";
import {
  type FlowConfig,
  flowConfig,
  fromCentral,
  fromItems,
  fromPoll,
  fromSource,
  fromTopic,
  fromWebhook,
  toCentral,
  toOperation,
  toPost,
  toSite,
  toTopic,
  toWrite,
} from "../flow-config.ts";
import type { Mender } from "./mend.ts";
import type { Path } from "./render.ts";
import { nearest } from "./suggest.ts";

const sources: Readonly<Record<string, z.ZodType>> = {
  topic: fromTopic,
  webhook: fromWebhook,
  poll: fromPoll,
  items: fromItems,
  source: fromSource,
  central: fromCentral,
};
const destinations: Readonly<Record<string, z.ZodType>> = {
  central: toCentral,
  site: toSite,
  topic: toTopic,
  post: toPost,
  write: toWrite,
  operation: toOperation,
};
const fields = flowConfig.omit({ from: true, to: true }).extend({ from: z.unknown(), to: z.unknown() });

/**
 * Mends a rendered flow, and says in `mender` what is wrong with its shape. Sources and destinations are judged one by one, by the
 * key that tells their kind; one that has no kind keeps its place and its connector. Undefined where there is no flow at all.
 */
export function mendFlow(value: unknown, path: Path, mender: Mender): FlowConfig | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const mended = mender.mend(fields, value, path);
  if (!mended) return undefined;
  const { from, to, ...rest } = mended;
  const say = (at: Path, message: string): void => void mender.problems.push({ path: at, value: true, message });
  const [fromPath, toPath] = [
    [...path, "from"],
    [...path, "to"],
  ];
  const flow = {
    ...rest,
    from: sourceOf(from, fromPath),
    to: destinationsOf(to, toPath) as FlowConfig["to"],
  };
  return flow as FlowConfig;

  function sourceOf(written: unknown, at: Path): unknown {
    if (written === undefined)
      mender.problems.push({ path, missing: "from", message: '"from" is missing: where the messages come from' });
    else if (Array.isArray(written) && written.length === 0) say(at, '"from" is empty');
    else if (!Array.isArray(written)) return source(written, at);
    else {
      return written.map((each: unknown, index) => {
        if (typeof each !== "object" || each === null || !("central" in each)) return source(each, [...at, index]);
        say([...at, index], "central cannot stand in a list of sources: make it a flow of its own");
        mender.standIn([...at, index]);
        return { connector: "?", topic: "#", retained: "skip" };
      });
    }
    mender.standIn(at);
    unknownType();
    return { connector: "?", topic: "#", retained: "skip" };
  }

  /** What such a source brings is not to be known. */
  function unknownType(): void {
    if (rest.as === undefined) mender.standIn([...path, "as"]);
  }

  function source(written: unknown, at: Path): unknown {
    const found = ofKind(sources, written, at, "a source");
    if (!found || mender.isStandIn([...at, "source"])) unknownType();
    return found ?? { connector: connectorOf(written, at), topic: "#", retained: "skip" };
  }

  function destinationsOf(written: unknown, at: Path): unknown[] {
    if (written === undefined) mender.problems.push({ path, missing: "to", message: '"to" is missing: where the messages go' });
    else if (!Array.isArray(written) || written.length === 0) say(at, '"to" is a list of destinations, at least one');
    else {
      return written.map((each: unknown, index) => {
        const here = [...at, index];
        const found = ofKind(destinations, each, here, "a destination");
        if (mender.isStandIn([...here, "central"])) mender.standIn(here);
        return found ?? { connector: connectorOf(each, here), topic: "?", qos: 1, retain: false, effect: "idempotent" };
      });
    }
    mender.standIn(at);
    return [];
  }

  /** All that is known of what has no kind. */
  function connectorOf(written: unknown, at: Path): string {
    const connector =
      typeof written === "object" && written !== null ? (written as Record<string, unknown>).connector : undefined;
    mender.standIn(typeof connector === "string" ? [...at, "topic"] : at);
    return typeof connector === "string" ? connector : "?";
  }

  function ofKind(kinds: Readonly<Record<string, z.ZodType>>, written: unknown, at: Path, what: string): unknown {
    const names = Object.keys(kinds);
    if (typeof written !== "object" || written === null || Array.isArray(written)) {
      say(at, `${what} is an object with one of ${names.join(", ")}`);
      return undefined;
    }
    const found = names.filter((name) => name in written);
    const near = Object.keys(written)
      .map((key) => [key, nearest(key, names)])
      .find(([, name]) => name !== undefined)?.[0];
    if (found.length > 1) say(at, `${what} has one of ${names.join(", ")}, not ${found.join(" and ")}`);
    else if (found.length === 0 && near === undefined) say(at, `${what} has one of ${names.join(", ")}`);
    const kind = found[0] ?? (near === undefined ? undefined : nearest(near, names));
    const schema = found.length > 1 || kind === undefined ? undefined : kinds[kind];
    return schema && mender.mend(schema, written, at);
  }
}
