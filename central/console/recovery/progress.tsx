import { formatCount } from "../parts/time.ts";

/** What was lost, cut into what came again, what is to come and what never will; the words beside it say the same. */
export function RecoveryBar({
  missed,
  again,
  lost,
  name,
}: {
  readonly missed: number;
  readonly again: number;
  readonly lost: number;
  readonly name: string;
}) {
  const left = Math.max(0, missed - again - lost);
  const words = [
    `${formatCount(again)} came again`,
    ...(left > 0 ? [`${formatCount(left)} to come`] : []),
    ...(lost > 0 ? [`${formatCount(lost)} lost`] : []),
  ].join(", ");
  return (
    <span className="tally-bar recovery-bar" role="img" aria-label={`${name}: ${words}`} title={words}>
      {again > 0 && <span data-tone="good" style={{ flexGrow: again }} />}
      {lost > 0 && <span data-tone="bad" style={{ flexGrow: lost }} />}
      {left > 0 && <span data-tone="idle" style={{ flexGrow: left }} />}
    </span>
  );
}
