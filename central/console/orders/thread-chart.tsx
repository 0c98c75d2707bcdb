import { describeInstant, formatDelta } from "../parts/time.ts";
import { kindMarks, kindWords } from "./hop-kind.ts";
import { threadStyle } from "./message-type.ts";
import type { PlacedHop, Row } from "./timeline-layout.ts";

interface ChartProps {
  readonly rows: readonly Row[];
  /** The middle of each row, from the top. */
  readonly middles: readonly number[];
  readonly height: number;
  readonly columnWidth: number;
  readonly columns: number;
  /** With a word beside each dot, where a row has one dot only. */
  readonly worded: boolean;
  readonly lit: string | null;
  readonly onPoint: (id: string | null) => void;
  readonly onSelect: (id: string) => void;
}

interface Point {
  readonly x: number;
  readonly y: number;
  readonly placed: PlacedHop;
}

const slotWidth = 15;

/** The swimlanes: per message one thread through its dots. Beside it every row says the same in words, so readers skip it. */
export function ThreadChart({ rows, middles, height, columnWidth, columns, worded, lit, onPoint, onSelect }: ChartProps) {
  const threads = toThreads(rows, middles, columnWidth, worded);
  return (
    <svg
      aria-hidden="true"
      className="threads"
      width={columnWidth * columns}
      height={height}
      data-lit={lit !== null || undefined}
    >
      {Array.from({ length: columns }, (_, index) => {
        const x = laneX(index, columnWidth, worded);
        // biome-ignore lint/suspicious/noArrayIndexKey: a swimlane's place is its identity here
        return <line key={index} className="lane-line" x1={x} x2={x} y1="0" y2={height} />;
      })}
      {[...threads].map(([id, { type, points }]) => (
        // biome-ignore lint/a11y/noStaticElementInteractions: the row's button is the way by keyboard; this is the same by mouse
        <g
          key={id}
          className="thread"
          data-lit={id === lit || undefined}
          style={threadStyle(type)}
          onClick={() => onSelect(id)}
          onMouseEnter={() => onPoint(id)}
          onMouseLeave={() => onPoint(null)}
        >
          <path className="thread-line" d={toPath(points)} />
          {points.map(({ x, y, placed }, index) => (
            <Dot key={`${x}/${y}`} x={x} y={y} placed={placed} first={index === 0} />
          ))}
          {worded &&
            points.map(({ x, y, placed }) => (
              <text key={`${x}/${y}`} className="dot-word" data-kind={placed.hop.kind} x={x + 11} y={y + 3.5}>
                {kindWords[placed.hop.kind]}
              </text>
            ))}
        </g>
      ))}
    </svg>
  );
}

function Dot({
  x,
  y,
  placed,
  first,
}: {
  readonly x: number;
  readonly y: number;
  readonly placed: PlacedHop;
  readonly first: boolean;
}) {
  const { hop, deltaMs } = placed;
  const mark = kindMarks[hop.kind];
  const round = mark === "hollow" || mark === "dot";
  return (
    <g className="dot" data-kind={hop.kind} data-mark={mark}>
      <title>{`${hop.what}\n${kindWords[hop.kind]} ${describeInstant(hop.at)}${deltaMs === null ? "" : `\n${formatDelta(deltaMs)}`}`}</title>
      <circle className="dot-area" cx={x} cy={y} r={11} />
      <circle className="dot-ground" cx={x} cy={y} r={round ? (first ? 5 : 4) : 6.5} />
      {mark === "check" && <path className="dot-mark" d={`M${x - 3} ${y + 0.3}l2.2 2.3 4-4.6`} />}
      {mark === "cross" && <path className="dot-mark" d={`M${x - 2.4} ${y - 2.4}l4.8 4.8M${x + 2.4} ${y - 2.4}l-4.8 4.8`} />}
      {mark === "question" && (
        <text className="dot-letter" x={x} y={y + 3.2}>
          ?
        </text>
      )}
    </g>
  );
}

function toThreads(rows: readonly Row[], middles: readonly number[], columnWidth: number, worded: boolean) {
  const threads = new Map<string, { readonly type: string; readonly points: Point[] }>();
  rows.forEach((row, index) => {
    let thread = threads.get(row.message.id);
    if (!thread) {
      thread = { type: row.message.type, points: [] };
      threads.set(row.message.id, thread);
    }
    for (const placed of row.hops) {
      const middle = laneX(placed.column, columnWidth, worded);
      const spread = Math.min(slotWidth, (columnWidth - 16) / placed.slots);
      thread.points.push({ x: middle + (placed.slot - (placed.slots - 1) / 2) * spread, y: middles[index] ?? 0, placed });
    }
  });
  return threads;
}

/** A lane's line: in its middle, or on its left where a word stands beside each dot. */
function laneX(column: number, columnWidth: number, worded: boolean): number {
  return worded ? column * columnWidth + 16 : (column + 0.5) * columnWidth;
}

/** From every hop's origin to it, so that a thread may branch. */
function toPath(points: readonly Point[]): string {
  const byIndex = new Map(points.map((point) => [point.placed.index, point]));
  return points
    .map((point) => {
      const origin = point.placed.origin === null ? undefined : byIndex.get(point.placed.origin);
      return origin ? toStretch(origin, point) : "";
    })
    .join(" ");
}

/** Straight along a row; to a later row down and then right, or left and then down: so that it never crosses the word right of a dot. */
function toStretch(from: Point, to: Point): string {
  const start = `M${from.x},${from.y}`;
  if (from.y === to.y || from.x === to.x) return `${start} L${to.x},${to.y}`;
  const r = Math.min(14, Math.abs(to.x - from.x) / 2, (to.y - from.y) / 2);
  return to.x > from.x
    ? `${start} L${from.x},${to.y - r} Q${from.x},${to.y} ${from.x + r},${to.y} L${to.x},${to.y}`
    : `${start} L${to.x + r},${from.y} Q${to.x},${from.y} ${to.x},${from.y + r} L${to.x},${to.y}`;
}
