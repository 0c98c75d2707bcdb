import { describeInstant, formatAge, formatDay, formatTime } from "./time.ts";

/** An instant: how long ago while it is recent, else the day; the whole truth on demand. */
export function When({ at }: { readonly at: string }) {
  const ageMs = Date.now() - Date.parse(at);
  const near = ageMs >= 0 && ageMs < 36 * 3_600_000;
  return (
    <time dateTime={at} title={describeInstant(at)} className="when">
      {near ? `${formatAge(ageMs)} ago` : `${formatDay(at)} ${formatTime(at, false).slice(0, 5)}`}
    </time>
  );
}

/** An instant that is still to come matters by its clock time. */
export function Until({ at }: { readonly at: string }) {
  const restMs = Date.parse(at) - Date.now();
  return (
    <time dateTime={at} title={describeInstant(at)} className="when">
      {formatDay(at)} {formatTime(at, false).slice(0, 5)}
      {restMs <= 0 ? " (over)" : ""}
    </time>
  );
}
