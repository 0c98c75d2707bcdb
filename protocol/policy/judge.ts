import { durationMs, durationPattern } from "../base/duration.ts";
import { sizeBytes, sizePattern } from "../base/size.ts";
import type { DeliveryRule, Policy, Secret, Site } from "../document.ts";
import { problemAt, type ReadDocuments, type Sourced } from "../flow/judge.ts";
import type { Path } from "../flow/render.ts";
import { didYouMean } from "../flow/suggest.ts";
import type { DocumentProblem, Point } from "../flow/yaml-source.ts";
import { effectiveSettings, valueAt } from "./effective-settings.ts";
import { leavesOf } from "./partial.ts";
import { haveEqualRank, type Labels, labelsOf, rankedLabels, selectorOf, selects } from "./precedence.ts";
import { settings } from "./settings.ts";
import { Voices } from "./voices.ts";

interface Found {
  readonly problems: DocumentProblem[];
  readonly warnings: DocumentProblem[];
}
type Say = (path: Path, message: string, point?: Point) => void;

/** What the centre keeps as bounds of values whose shape is right. */
const leastBytesPerSecond = 1024;
const largestBatchBytes = 1024 ** 2;
const longestLingerMs = 10_000;
const longestWatchMs = 86_400_000;
/** Central takes an old key no longer. */
const longestOverlapMs = 7 * 86_400_000;

const leaves = leavesOf(settings);

/** What there is beside the documents that are judged, and is not judged with them. */
export interface Elsewhere {
  /** Labels of all other sites, their names among them. */
  readonly sites: readonly Labels[];
}

/**
 * Judges what policies, sites and secrets say beside their shape. `elsewhere`: there are other documents; without it those that are judged
 * are all there are.
 */
export function judgePolicies(read: ReadDocuments, elsewhere?: Elsewhere): Found {
  const labels = [...read.sites.map(({ value }) => labelsOf(value)), ...(elsewhere?.sites ?? [])];
  const templates = elsewhere || read.incomplete ? [] : read.templates;
  const found: Found = { problems: [], warnings: [] };
  for (const policy of read.policies) {
    const say = sayer(policy, found.problems);
    const warn = sayer(policy, found.warnings);
    judgeSaid(policy.value.spec, say);
    judgeReview(policy.value, say);
    if (!read.incomplete) judgeSelector(policy.value, labels, warn);
    judgeRules(policy.value.spec.deliveries ?? [], templates, warn);
    const { selector: _selector, priority: _priority, enforce: _enforce, ...says } = policy.value.spec;
    if (Object.keys(says).length === 0 && policy.mender.problems.length === 0)
      warn(["spec"], "this policy says nothing: queue, link, keys, watch, logLevel, deliveries or review", { key: true });
  }
  for (const site of read.sites) {
    judgeSaid(site.value.spec, sayer(site, found.problems));
    judgeRules(site.value.spec.deliveries ?? [], templates, sayer(site, found.warnings));
    const label = site.value.metadata.labels?.site;
    if (label !== undefined && label !== site.value.metadata.name)
      sayer(site, found.problems)(
        ["metadata", "labels", "site"],
        `the label "site" is the site's name, "${site.value.metadata.name}"`,
      );
  }
  for (const secret of read.secrets) judgeSecret(secret.value, sayer(secret, found.problems));
  judgeTogether(read, found.problems);
  warnOfEquals(read.policies, labels, found.warnings, elsewhere !== undefined);
  return found;
}

/** What no document says wrongly by itself, and several do together. */
function judgeTogether({ sites, policies }: ReadDocuments, problems: DocumentProblem[]): void {
  const said = new Set<string>();
  const all = policies.map(({ value }) => value);
  for (const site of sites) {
    const { values } = effectiveSettings(new Voices(site.value, all));
    const [every, overlap] = ["keys.rotateEvery", "keys.overlap"].map((path) => values.find((value) => value.path === path));
    const [everyMs, overlapMs] = [ms(every?.value), ms(overlap?.value)];
    if (!every || !overlap || everyMs === undefined || overlapMs === undefined || overlapMs < everyMs) continue;
    // one that says both was judged by itself
    if (every.origin.document === overlap.origin.document) continue;
    const [where, other] = overlap.origin.from === "default" ? [every, overlap] : [overlap, every];
    const document = [...policies, ...sites].find(
      ({ value }) => `${value.kind}/${value.metadata.name}` === where.origin.document,
    );
    const from = other.origin.document ?? "the default";
    const message = `at site "${site.value.metadata.name}" keys would overlap for ${String(overlap.value)} and live for ${String(every.value)}, with ${other.path} of ${from}`;
    if (document && !said.has(message)) sayer(document, problems)(["spec", ...where.path.split(".")], message);
    said.add(message);
  }
}

function sayer({ source, mender }: Sourced<unknown>, into: DocumentProblem[]): Say {
  return (path, message, point = { value: true }) => {
    if (!mender.isStandIn(path)) into.push(problemAt(source, mender.written(path), message, point));
  };
}

function judgeSaid(spec: Policy["spec"] | Site["spec"], say: Say): void {
  const { keys, link, watch } = spec;
  const [every, overlap] = [ms(keys?.rotateEvery), ms(keys?.overlap)];
  if (every === 0) say(["spec", "keys", "rotateEvery"], "a key lives longer than that");
  else if (every !== undefined && overlap !== undefined && overlap >= every)
    say(
      ["spec", "keys", "overlap"],
      `has to be shorter than rotateEvery, ${keys?.rotateEvery}: only two keys are taken at a time`,
    );
  if ((overlap ?? 0) > longestOverlapMs) say(["spec", "keys", "overlap"], "at most 7d: central takes an old key no longer");
  const [perSecond, batch] = [bytes(link?.bytesPerSecond), bytes(link?.batch?.bytes)];
  if (perSecond !== undefined && perSecond < leastBytesPerSecond)
    say(["spec", "link", "bytesPerSecond"], "at least 1KiB: a slower way counts as none");
  if (batch === 0) say(["spec", "link", "batch", "bytes"], "a batch holds something");
  if ((batch ?? 0) > largestBatchBytes) say(["spec", "link", "batch", "bytes"], "at most 1MiB: no gateway sends larger ones");
  for (const [lane, wait] of Object.entries(link?.linger ?? {}))
    if ((ms(wait) ?? 0) > longestLingerMs)
      say(["spec", "link", "linger", lane], "at most 10s: a lane that sends nothing for longer counts as stuck");
  if ((ms(watch?.for) ?? 0) > longestWatchMs) say(["spec", "watch", "for"], "at most 1d");
  (spec.deliveries ?? []).forEach((rule, index) => {
    const path = ["spec", "deliveries", index];
    if (!rule.retry && !rule.onExhausted && !rule.effect) say(path, "this rule says nothing: retry, onExhausted or effect");
    const [base, cap] = [ms(rule.retry?.base), ms(rule.retry?.cap)];
    if (base !== undefined && cap !== undefined && cap < base)
      say([...path, "retry", "cap"], `the longest pause is shorter than the first, ${rule.retry?.base}`);
  });
}

/** What stands in for a faulty value is no duration. */
function ms(text: unknown): number | undefined {
  return typeof text === "string" && durationPattern.test(text) ? durationMs(text) : undefined;
}

function bytes(text: string | undefined): number | undefined {
  return text !== undefined && sizePattern.test(text) ? sizeBytes(text) : undefined;
}

function judgeReview({ spec }: Policy, say: Say): void {
  if (!spec.review) return;
  const labels = spec.selector.labels;
  const others = Object.keys(labels).filter((label) => label !== "environment");
  if (others.length > 0)
    say(
      ["spec", "review"],
      `review is asked for by environment: a policy that says so selects by nothing else, not by ${others.join(", ")}`,
    );
  else if (!spec.review.required && (labels.environment === undefined || labels.environment === "prod"))
    say(
      ["spec", "review", "required"],
      labels.environment === undefined
        ? "review can be left out for a named environment only: select by environment"
        : "changes of prod are always read by a second person",
    );
}

/** Of labels that no site has: only where sites are among the documents. */
function judgeSelector(policy: Policy, all: readonly Labels[], warn: Say): void {
  if (all.length === 0) return;
  const known = new Set([...rankedLabels, ...all.flatMap((labels) => Object.keys(labels))]);
  let missing = false;
  for (const [label, value] of Object.entries(selectorOf(policy))) {
    const path = ["spec", "selector", "labels", label];
    const values = new Set(all.flatMap((labels) => (Object.hasOwn(labels, label) ? [labels[label] ?? ""] : [])));
    if (values.has(value)) continue;
    missing = true;
    if (values.size === 0) warn(path, `no site has a label "${label}"${didYouMean(label, known)}`, { key: true });
    else if (label === "site") warn(path, `there is no site "${value}"${didYouMean(value, values)}`);
    else
      warn(
        path,
        `no site has ${label}=${value}${didYouMean(value, values) || `; there is ${[...values].toSorted().join(", ")}`}`,
      );
  }
  if (!missing && !all.some((labels) => selects(policy, labels)))
    warn(["spec", "selector", "labels"], "no site has all of these labels", { key: true });
}

/** Of what is risky; of what no template has, where templates are among the documents. */
function judgeRules(rules: readonly DeliveryRule[], templates: ReadDocuments["templates"], warn: Say): void {
  for (const [index, rule] of rules.entries()) {
    if (rule.effect === "idempotent" && rule.connector === undefined && rule.flow === undefined)
      warn(
        ["spec", "deliveries", index, "effect"],
        "this says of many receivers that a repeat does nothing there, bookings among them: name a connector or a flow",
      );
    for (const field of ["connector", "flow"] as const) {
      const name = rule[field];
      if (name === undefined || templates.length === 0) continue;
      const parts = templates.flatMap(({ value }) => Object.entries(value.spec[`${field}s`]));
      const exists = parts.some(([part, { forEach }]) => part === name || (forEach !== undefined && name.startsWith(`${part}.`)));
      if (!exists) {
        const near = didYouMean(
          name,
          parts.map(([part]) => part),
        );
        warn(["spec", "deliveries", index, field], `no template has a ${field} "${name}"${near}`);
      }
    }
  }
}

function judgeSecret({ spec: { rotate } }: Secret, say: Say): void {
  if (!rotate) return;
  const [every, warnBefore] = [ms(rotate.every), ms(rotate.warnBefore)];
  if (every === 0) say(["spec", "rotate", "every"], "a secret lives longer than that");
  else if (every !== undefined && warnBefore !== undefined && warnBefore >= every) {
    const message = `warns ${rotate.warnBefore} before it is due, and it is due every ${rotate.every}: that would be always`;
    say(["spec", "rotate", "warnBefore"], message);
  }
}

/**
 * Two policies that one site could obey, that say different things, and of which nothing but the name tells which is heard. Said at the one that is
 * not heard; `atBoth` where only some of the documents are the ones that somebody writes.
 */
function warnOfEquals(
  policies: ReadDocuments["policies"],
  sites: readonly Labels[],
  warnings: DocumentProblem[],
  atBoth: boolean,
): void {
  const sorted = policies.toSorted((a, b) => (a.value.metadata.name < b.value.metadata.name ? -1 : 1));
  for (const [index, later] of sorted.entries()) {
    for (const earlier of sorted.slice(0, index)) {
      const [first, second] = [earlier.value, later.value];
      if (first.metadata.name === second.metadata.name || !haveEqualRank(first, second) || !canMeet(first, second, sites))
        continue;
      const [warnFirst, warnSecond] = [sayer(earlier, warnings), sayer(later, warnings)];
      const only = "by its name alone: give one of them a priority";
      const warn = (places: readonly [Path, Path], heard: string, unheard: string): void => {
        warnSecond(
          ["spec", ...places[1]],
          `policy "${first.metadata.name}" says ${heard} with the same rank, and is heard first ${only}`,
        );
        if (atBoth)
          warnFirst(
            ["spec", ...places[0]],
            `policy "${second.metadata.name}" says ${unheard} with the same rank, and is heard after this ${only}`,
          );
      };
      for (const { path } of leaves) {
        const [heard, unheard] = [valueAt(first.spec, path), valueAt(second.spec, path)];
        if (heard !== undefined && unheard !== undefined && heard !== unheard) warn([path, path], String(heard), String(unheard));
      }
      (second.spec.deliveries ?? []).forEach((rule, at) => {
        const same = (first.spec.deliveries ?? []).findIndex((other) => contradicts(other, rule));
        const what = "something else of the same deliveries";
        if (same !== -1)
          warn(
            [
              ["deliveries", same],
              ["deliveries", at],
            ],
            what,
            what,
          );
      });
    }
  }
}

function canMeet(a: Policy, b: Policy, sites: readonly Labels[]): boolean {
  const [one, other] = [selectorOf(a), selectorOf(b)];
  if (Object.entries(one).some(([label, value]) => Object.hasOwn(other, label) && other[label] !== value)) return false;
  return sites.length === 0 || sites.some((labels) => selects(a, labels) && selects(b, labels));
}

function contradicts(a: DeliveryRule, b: DeliveryRule): boolean {
  if (a.connector !== b.connector || a.type !== b.type || a.flow !== b.flow) return false;
  const paths = [["retry", "attempts"], ["retry", "base"], ["retry", "cap"], ["onExhausted"], ["effect"]];
  return paths.some((path) => {
    const [one, other] = [valueAt(a, path), valueAt(b, path)];
    return one !== undefined && other !== undefined && one !== other;
  });
}
