import type { ReactNode } from "react";

/** A column's heading, with where it stands; `false` is a column that is not there. */
export type Column = string | { readonly overNumbers: string } | false;

interface GridProps {
  /** What it lists, for whoever does not see it. */
  readonly name: string;
  readonly columns: readonly Column[];
  readonly look?: "alarm-table" | "audit" | "differences" | "effective";
  /** It stands in a card already. */
  readonly bare?: boolean;
  /** Its rows. */
  readonly children: ReactNode;
}

/** A table; one that is wider than the page scrolls by itself. */
export function Grid({ name, columns, look, bare = false, children }: GridProps) {
  return (
    <div className={bare ? "scrolled" : "scrolled card"}>
      <table className={look === undefined ? "grid" : `grid ${look}`}>
        <caption className="visually-hidden">{name}</caption>
        <thead>
          <tr>{columns.filter((column) => column !== false).map(toHeading)}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

function toHeading(column: Exclude<Column, false>): ReactNode {
  const [heading, place] = typeof column === "string" ? [column] : [column.overNumbers, "num"];
  return (
    <th key={heading} scope="col" className={place}>
      {heading}
    </th>
  );
}
