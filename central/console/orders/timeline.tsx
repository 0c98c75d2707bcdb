import { useElementSize } from "@mantine/hooks";
import { type CSSProperties, type KeyboardEvent, memo, useMemo, useState } from "react";
import type { OrderMessage } from "../../http/views.ts";
import { describeInstant, formatAge, formatDay, formatDelta, formatTime } from "../parts/time.ts";
import { kindWords } from "./hop-kind.ts";
import { threadStyle, typeWords } from "./message-type.ts";
import { ThreadChart } from "./thread-chart.tsx";
import { type Density, layoutTimeline, type Row } from "./timeline-layout.ts";

const rowHeight = { steps: 27, messages: 34 } as const;
const pauseHeight = 26;
const minColumnWidth = { steps: 104, messages: 84 } as const;
/** A wait between two hops that is worth an eye. */
const slowMs = 10_000;

interface TimelineProps {
  readonly messages: readonly OrderMessage[];
  readonly plant: string | null;
  readonly density: Density;
  readonly selected: string | null;
  readonly onSelect: (id: string) => void;
}

/** One order's way: on the left what happened, line by line; on the right the same as threads through the places. Time flows down. Drawn anew only when something changed: the page around it ticks each second. */
export const Timeline = memo(function Timeline({ messages, plant, density, selected, onSelect }: TimelineProps) {
  const [pointed, setPointed] = useState<string | null>(null);
  const { ref, width } = useElementSize();
  const { columns, groups, rows } = useMemo(() => layoutTimeline(messages, plant, density), [messages, plant, density]);
  const { middles, height } = toMiddles(rows, density);
  const columnWidth = Math.max(minColumnWidth[density], Math.floor(width / Math.max(1, columns.length)));
  const lanesWidth = { "--lanes": `${columnWidth * columns.length}px`, "--row": `${rowHeight[density]}px` } as CSSProperties;
  const lit = pointed ?? selected;
  return (
    <div className="timeline" style={lanesWidth} data-density={density}>
      <div className="timeline-head">
        <div className="timeline-corner">
          <span>Time</span>
          <span className="num">{density === "steps" ? "since last" : "took"}</span>
          <span>What happened</span>
        </div>
        <div className="timeline-places" ref={ref}>
          <div className="places-sites">
            {groups.map((group, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a site may stand on both sides of central
              <span key={index} className="place-site" style={{ width: group.count * columnWidth }} data-site={group.site}>
                {group.site === "central" ? "" : group.site}
              </span>
            ))}
          </div>
          <div className="places-names">
            {columns.map((column) => (
              <span
                key={column.key}
                className="place-name"
                style={{ width: columnWidth }}
                data-site={column.site}
                title={`${column.label} at ${column.site}`}
              >
                {column.label}
              </span>
            ))}
          </div>
        </div>
      </div>
      <div className="timeline-body">
        <div className="timeline-chart" style={{ height }}>
          <ThreadChart
            rows={rows}
            middles={middles}
            height={height}
            columnWidth={columnWidth}
            columns={columns.length}
            worded={density === "steps"}
            lit={lit}
            onPoint={setPointed}
            onSelect={onSelect}
          />
        </div>
        <ol className="timeline-rows" aria-label="What happened, in order of time" onKeyDown={moveFocus}>
          {rows.map((row, index) => (
            <li key={row.key}>
              {row.pauseMs !== null && <Pause row={row} before={rows[index - 1]} height={pauseHeight} />}
              <button
                type="button"
                className="timeline-row"
                style={threadStyle(row.message.type)}
                data-message={row.message.id}
                data-opens={row.opens || undefined}
                aria-pressed={row.message.id === selected}
                onClick={() => onSelect(row.message.id)}
                onMouseEnter={() => setPointed(row.message.id)}
                onMouseLeave={() => setPointed(null)}
              >
                {density === "steps" ? <StepWords row={row} /> : <MessageWords row={row} />}
              </button>
            </li>
          ))}
        </ol>
      </div>
    </div>
  );
});

/** Arrow keys go from line to line, so that nobody has to press Tab eighty times. */
function moveFocus(event: KeyboardEvent<HTMLOListElement>): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined) return;
  const buttons = [...event.currentTarget.querySelectorAll<HTMLButtonElement>(".timeline-row")];
  const next = buttons[buttons.findIndex((button) => button.matches(":focus")) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function Pause({ row, before, height }: { readonly row: Row; readonly before: Row | undefined; readonly height: number }) {
  const at = row.hops[0]?.hop.at ?? "";
  const day = before && formatDay(before.hops[0]?.hop.at ?? "") !== formatDay(at) ? ` · ${formatDay(at)}` : "";
  return (
    <div className="pause" style={{ height }}>
      <span>
        {formatAge(row.pauseMs ?? 0)} later{day}
      </span>
    </div>
  );
}

/** One hop. */
function StepWords({ row }: { readonly row: Row }) {
  const placed = row.hops[0];
  if (!placed) return null;
  const { hop, deltaMs } = placed;
  return (
    <>
      <Time at={hop.at} />
      <Delta ms={deltaMs} />
      <span className="row-words" data-kind={hop.kind} title={hop.what}>
        <TypeMark type={row.message.type} shown={!row.continues} />
        <span className="row-what">
          {hop.what}
          <span className="visually-hidden"> ({kindWords[hop.kind]})</span>
        </span>
      </span>
    </>
  );
}

/** Several hops of one message: what it says, where it got to, how long that took. */
function MessageWords({ row }: { readonly row: Row }) {
  const first = row.hops[0];
  const last = row.hops.at(-1);
  if (!first || !last) return null;
  const tookMs = Date.parse(last.hop.at) - Date.parse(first.hop.at) + (row.opens ? 0 : (first.deltaMs ?? 0));
  return (
    <>
      <Time at={first.hop.at} />
      <Delta ms={row.opens && row.hops.length === 1 ? null : tookMs} />
      <span className="row-words" data-kind={last.hop.kind} title={row.opens ? row.message.summary : last.hop.what}>
        <TypeMark type={row.message.type} shown={row.opens} />
        <span className="row-what">
          {row.opens ? row.message.summary : `↳ ${last.hop.what}`}
          <span className="visually-hidden"> ({row.hops.map((placed) => kindWords[placed.hop.kind]).join(", ")})</span>
        </span>
      </span>
    </>
  );
}

function Time({ at }: { readonly at: string }) {
  return (
    <time className="row-time" dateTime={at} title={describeInstant(at)}>
      {formatTime(at)}
    </time>
  );
}

function Delta({ ms }: { readonly ms: number | null }) {
  return (
    <span
      className="row-delta num"
      data-slow={(ms !== null && ms >= slowMs) || undefined}
      title={ms !== null && ms < 0 ? "Two clocks disagree" : undefined}
    >
      {ms === null ? "" : formatDelta(ms)}
    </span>
  );
}

/** The thread's colour; in words for those who do not see it. */
function TypeMark({ type, shown }: { readonly type: string; readonly shown: boolean }) {
  return shown ? (
    <span className="type-dot" title={typeWords(type)}>
      <span className="visually-hidden">{typeWords(type)}: </span>
    </span>
  ) : (
    <span className="type-none" />
  );
}

function toMiddles(rows: readonly Row[], density: Density): { readonly middles: readonly number[]; readonly height: number } {
  let top = 0;
  const middles = rows.map((row) => {
    if (row.pauseMs !== null) top += pauseHeight;
    top += rowHeight[density];
    return top - rowHeight[density] / 2;
  });
  return { middles, height: top };
}
