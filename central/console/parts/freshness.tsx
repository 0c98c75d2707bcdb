import { Icon } from "./icon.tsx";
import { formatAge } from "./time.ts";

/** What is older than this is no longer called live. */
export const freshMs = 5000;

interface FreshnessProps {
  readonly ageMs: number;
  /** When central said it, for a person. */
  readonly asOf: string;
  readonly error: Error | null;
}

/** `Live`, or how old everything on the page is and why. */
export function Freshness({ ageMs, asOf, error }: FreshnessProps) {
  if (ageMs <= freshMs) {
    return (
      <span className="live">
        <span className="live-dot" aria-hidden="true" />
        Live
      </span>
    );
  }
  return (
    <div className="stale-banner" role="alert">
      <Icon name="warning" size={18} />
      <strong>No answer from central for {formatAge(ageMs)}.</strong>
      <span>
        What you see is from {asOf} and may no longer be true. {error ? `${error.message}.` : ""} The plants keep working; this
        page tries again every 2 s.
      </span>
    </div>
  );
}
