import type { Hop, OrderMessage } from "../../http/views.ts";

/** A swimlane: one place at one site. */
export interface Column {
  readonly key: string;
  readonly site: string;
  readonly label: string;
}
/** Neighbouring swimlanes of one site. */
export interface ColumnGroup {
  readonly site: string;
  readonly count: number;
}
export interface PlacedHop {
  readonly hop: Hop;
  /** Position among the hops of its message. */
  readonly index: number;
  /** The hop that it came from, which is not always the one before: a gateway delivers to several systems. Null for the first. */
  readonly origin: number | null;
  readonly column: number;
  /** Position among the hops of the same row and swimlane, and how many these are. */
  readonly slot: number;
  readonly slots: number;
  /** To the hop before, of the same message; null for the first. Negative where two clocks disagree. */
  readonly deltaMs: number | null;
}
/** What one line of the timeline shows: hops of one message that followed each other without a wait. */
export interface Row {
  readonly key: string;
  readonly message: OrderMessage;
  readonly hops: readonly PlacedHop[];
  /** The first line of its message. */
  readonly opens: boolean;
  /** Continues the message of the line above. */
  readonly continues: boolean;
  /** Time since the line above, where it is long enough to be said. */
  readonly pauseMs: number | null;
}
export interface Timeline {
  readonly columns: readonly Column[];
  readonly groups: readonly ColumnGroup[];
  readonly rows: readonly Row[];
}

/** `steps`: a line per hop. `messages`: a line per message, and a further one after each wait. */
export type Density = "steps" | "messages";

const pauseMs = 60_000;
// Hops of a message further apart than this never share a line: a wait has to be seen. Closer ones do, whatever came between:
// what one input made (a pick with three lines) would else interleave into a ladder.
const togetherMs = 10_000;

/**
 * Puts all hops of all messages in one order of time, and places into swimlanes: other sites on the left, central, the plant on the right.
 * A message's own hops keep their order even where clocks disagree.
 */
export function layoutTimeline(messages: readonly OrderMessage[], plant: string | null, density: Density): Timeline {
  const steps = toSteps(messages);
  const columns = toColumns(steps, plant);
  const position = new Map(columns.map((column, index) => [column.key, index]));
  const runs: Step[][] = [];
  const open = new Map<string, Step[]>();
  for (const step of steps) {
    const run = open.get(step.message.id);
    const last = run?.at(-1);
    if (density === "messages" && run && last && step.orderedAtMs - last.orderedAtMs <= togetherMs) {
      run.push(step);
    } else {
      const next = [step];
      runs.push(next);
      open.set(step.message.id, next);
    }
  }
  let latestMs: number | undefined;
  const rows = runs.map((run, index): Row => {
    const before = runs[index - 1]?.at(-1);
    const first = run[0] as Step;
    const wait = latestMs === undefined ? 0 : first.orderedAtMs - latestMs;
    latestMs = Math.max(latestMs ?? first.orderedAtMs, ...run.map((step) => step.orderedAtMs));
    return {
      key: `${first.message.id}/${first.index}`,
      message: first.message,
      hops: toPlaced(run, position),
      opens: first.index === 0,
      continues: before?.message === first.message,
      pauseMs: wait >= pauseMs ? wait : null,
    };
  });
  return { columns, groups: toGroups(columns), rows };
}

interface Step {
  readonly message: OrderMessage;
  readonly hop: Hop;
  readonly index: number;
  readonly deltaMs: number | null;
  /** Never earlier than the hop before of the same message. */
  readonly orderedAtMs: number;
}

function toSteps(messages: readonly OrderMessage[]): readonly Step[] {
  const steps: Step[] = [];
  for (const message of messages) {
    let orderedAtMs = Number.NEGATIVE_INFINITY;
    let beforeMs: number | null = null;
    message.hops.forEach((hop, index) => {
      const atMs = Date.parse(hop.at);
      orderedAtMs = Math.max(orderedAtMs, atMs);
      steps.push({ message, hop, index, deltaMs: beforeMs === null ? null : atMs - beforeMs, orderedAtMs });
      beforeMs = atMs;
    });
  }
  // The sort is stable, so hops of one message that share a time keep their order.
  return steps.sort((a, b) => a.orderedAtMs - b.orderedAtMs);
}

function toPlaced(run: readonly Step[], position: ReadonlyMap<string, number>): readonly PlacedHop[] {
  const columns = run.map((step) => position.get(columnKey(step.hop)) ?? 0);
  return run.map((step, index) => {
    const column = columns[index] ?? 0;
    return {
      hop: step.hop,
      index: step.index,
      origin: originOf(step.message.hops, step.index),
      column,
      slot: columns.slice(0, index).filter((other) => other === column).length,
      slots: columns.filter((other) => other === column).length,
      deltaMs: step.deltaMs,
    };
  });
}

/** A delivery starts at its system's gateway, or goes on where it was delivered; a gateway receives from central; else from the hop before. */
function originOf(hops: readonly Hop[], index: number): number | null {
  const hop = hops[index];
  if (!hop || index === 0) return null;
  const before = hops.slice(0, index);
  const last = (accepts: (candidate: Hop) => boolean) => {
    const found = before.findLastIndex(accepts);
    return found < 0 ? undefined : found;
  };
  switch (hop.kind) {
    case "delivered":
    case "accepted":
    case "refused":
    case "unknown":
      return (
        last((candidate) => columnKey(candidate) === columnKey(hop) && candidate.kind === "delivered") ??
        last((candidate) => candidate.site === hop.site && (candidate.kind === "received" || candidate.kind === "recorded")) ??
        index - 1
      );
    case "received":
      return last(isCentral) ?? index - 1;
    case "central":
      return last((candidate) => candidate.kind === "recorded") ?? index - 1;
    default:
      return index - 1;
  }
}

function columnKey(hop: Hop): string {
  return isCentral(hop) ? "central" : `${hop.site}/${hop.place}`;
}

function isCentral(hop: Hop): boolean {
  return hop.site === "central" || hop.place === "central";
}

function isGateway(hop: Hop): boolean {
  return hop.place === hop.site || hop.place === "gateway";
}

/** From the systems of the other sites over their gateways and central to the plant's gateway and its systems, each in order of appearance. */
function toColumns(steps: readonly Step[], plant: string | null): readonly Column[] {
  const home = plant ?? steps.find(({ hop }) => !isCentral(hop))?.hop.site;
  const seen = new Map<string, { readonly column: Column; readonly rank: number; readonly site: number }>();
  const sites: string[] = [];
  for (const { hop } of steps) {
    if (!isCentral(hop) && !sites.includes(hop.site)) sites.push(hop.site);
    const key = columnKey(hop);
    if (seen.has(key)) continue;
    const column = { key, site: isCentral(hop) ? "central" : hop.site, label: isCentral(hop) ? "central" : placeLabel(hop) };
    const rank = isCentral(hop) ? 2 : hop.site === home ? (isGateway(hop) ? 3 : 4) : isGateway(hop) ? 1 : 0;
    // Left of central a site's systems and its gateway stay together.
    seen.set(key, { column, rank, site: rank < 2 ? sites.indexOf(hop.site) : 0 });
  }
  const side = (rank: number) => (rank < 2 ? 0 : rank);
  return [...seen.values()]
    .map((entry, index) => ({ ...entry, index }))
    .sort((a, b) => side(a.rank) - side(b.rank) || a.site - b.site || a.rank - b.rank || a.index - b.index)
    .map((entry) => entry.column);
}

function placeLabel(hop: Hop): string {
  if (isGateway(hop)) return "gateway";
  // One of many is named `<connector>.<element>`; the element tells them apart.
  const name = hop.place.split(".").at(-1) ?? hop.place;
  return /^(erp|wms|mes|qms|plc)$/i.test(name) ? name.toUpperCase() : name;
}

function toGroups(columns: readonly Column[]): readonly ColumnGroup[] {
  const groups: { site: string; count: number }[] = [];
  for (const column of columns) {
    const last = groups.at(-1);
    if (last && last.site === column.site) last.count += 1;
    else groups.push({ site: column.site, count: 1 });
  }
  return groups;
}
