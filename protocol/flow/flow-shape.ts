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
} from "../document.ts";
import { type ShapeProblem, shapeProblems } from "./shape-problems.ts";
import { didYouMean } from "./suggest.ts";

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

/** A rendered flow, or what is wrong with its shape. Sources and destinations are judged by the key that tells their kind. */
export function parseFlow(value: unknown): { readonly flow: FlowConfig } | { readonly problems: readonly ShapeProblem[] } {
  const parsed = flowConfig.safeParse(value);
  if (parsed.success) return { flow: parsed.data };
  const problems = shapeProblems(fields, value);
  if (typeof value !== "object" || value === null) return { problems };
  const { from, to } = value as { from?: unknown; to?: unknown };
  if (from === undefined) problems.push({ path: [], message: '"from" is missing: where the messages come from' });
  else if (Array.isArray(from)) {
    if (from.length === 0) problems.push({ path: ["from"], message: '"from" is empty' });
    from.forEach((each: unknown, index) => {
      const central = typeof each === "object" && each !== null && "central" in each;
      if (central)
        problems.push({ path: ["from", index], message: "central cannot stand in a list of sources: make it a flow of its own" });
      else problems.push(...ofKind(sources, each, ["from", index], "a source"));
    });
  } else problems.push(...ofKind(sources, from, ["from"], "a source"));
  if (to === undefined) problems.push({ path: [], message: '"to" is missing: where the messages go' });
  else if (!Array.isArray(to) || to.length === 0)
    problems.push({ path: ["to"], message: '"to" is a list of destinations, at least one' });
  else problems.push(...to.flatMap((each: unknown, index) => ofKind(destinations, each, ["to", index], "a destination")));
  return {
    problems: problems.length > 0 ? problems : [{ path: [], message: "the flow has none of the forms that are possible" }],
  };
}

function ofKind(
  kinds: Readonly<Record<string, z.ZodType>>,
  value: unknown,
  path: (string | number)[],
  what: string,
): ShapeProblem[] {
  const names = Object.keys(kinds);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return [{ path, message: `${what} is an object with one of ${names.join(", ")}` }];
  const found = names.filter((name) => name in value);
  const [kind] = found;
  if (found.length > 1) return [{ path, message: `${what} has one of ${names.join(", ")}, not ${found.join(" and ")}` }];
  if (kind !== undefined && kinds[kind]) return shapeProblems(kinds[kind], value, path);
  const near = Object.keys(value)
    .map((key) => didYouMean(key, names))
    .find((hint) => hint !== "");
  return [{ path, message: `${what} has one of ${names.join(", ")}${near ?? ""}` }];
}
