/** A value of a configuration as one writes it in a document; long ones in full when asked for. */
export function Value({ value }: { readonly value: unknown }) {
  if (value === null) return <span className="quiet">none</span>;
  if (value === undefined) return <span className="quiet">nothing</span>;
  const text = typeof value === "string" ? value : JSON.stringify(value, null, isFlat(value) ? undefined : 1);
  return (
    <code className="value" data-type={typeof value}>
      {text === "" ? '""' : text}
    </code>
  );
}

function isFlat(value: unknown): boolean {
  return typeof value !== "object" || value === null || JSON.stringify(value).length <= 60;
}
