import type { OrderMessage } from "../../http/views.ts";
import { threadStyle, typeWords } from "./message-type.ts";

interface TypeFilterProps {
  readonly messages: readonly OrderMessage[];
  readonly hidden: ReadonlySet<string>;
  readonly onChange: (hidden: ReadonlySet<string>) => void;
}

/** The legend of the threads, and their filter: a pressed type is shown. */
export function TypeFilter({ messages, hidden, onChange }: TypeFilterProps) {
  const counts = new Map<string, number>();
  for (const { type } of messages) counts.set(type, (counts.get(type) ?? 0) + 1);
  return (
    <fieldset className="type-filter" aria-label="Message types shown">
      {[...counts].map(([type, count]) => (
        <button
          key={type}
          type="button"
          className="type-chip"
          style={threadStyle(type)}
          aria-pressed={!hidden.has(type)}
          title={type}
          onClick={() => {
            const next = new Set(hidden);
            if (!next.delete(type)) next.add(type);
            onChange(next);
          }}
        >
          <span className="type-dot" aria-hidden="true" />
          {typeWords(type)} <span className="tiny">{count}</span>
        </button>
      ))}
      {[...counts.keys()].some((type) => hidden.has(type)) && (
        <button type="button" className="link" onClick={() => onChange(new Set())}>
          Show all
        </button>
      )}
    </fieldset>
  );
}
