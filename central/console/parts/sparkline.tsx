import { useElementSize } from "@mantine/hooks";
import type { Reading } from "./history.ts";

// Between two readings further apart than this nobody looked: the line breaks instead of guessing.
const gapMs = 7000;

interface SparklineProps {
  readonly readings: readonly Reading[];
  readonly nowMs: number;
  /** From the left edge to the right. */
  readonly windowMs: number;
  readonly height: number;
  /** The scale's smallest maximum, so that one waiting message does not look like a mountain. */
  readonly floor: number;
  /** What a screen reader says instead. */
  readonly label: string;
}

/** The last minutes as an area; the right edge is now. */
export function Sparkline({ readings, nowMs, windowMs, height, floor, label }: SparklineProps) {
  const { ref, width } = useElementSize();
  const max = readings.reduce((most, reading) => Math.max(most, reading.value), floor);
  const x = (atMs: number) => Math.min(width, Math.max(0, width * (1 - (nowMs - atMs) / windowMs)));
  const y = (value: number) => height - 1.5 - (value / max) * (height - 4);
  return (
    <div ref={ref} className="spark" style={{ height }}>
      {width > 0 && (
        <svg role="img" aria-label={label} width={width} height={height}>
          <line className="spark-base" x1="0" x2={width} y1={height - 0.5} y2={height - 0.5} />
          {toRuns(readings).map((run) => {
            const line = run.map((reading) => `${x(reading.atMs).toFixed(1)},${y(reading.value).toFixed(1)}`).join(" L");
            const from = x(run[0]?.atMs ?? nowMs).toFixed(1);
            const to = x(run.at(-1)?.atMs ?? nowMs).toFixed(1);
            return (
              <g key={run[0]?.atMs}>
                <path className="spark-area" d={`M${from},${height} L${line} L${to},${height} Z`} />
                <path className="spark-line" d={`M${line}`} />
              </g>
            );
          })}
        </svg>
      )}
    </div>
  );
}

function toRuns(readings: readonly Reading[]): Reading[][] {
  const runs: Reading[][] = [];
  for (const reading of readings) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run && last && reading.atMs - last.atMs <= gapMs) run.push(reading);
    else runs.push([reading]);
  }
  return runs;
}
