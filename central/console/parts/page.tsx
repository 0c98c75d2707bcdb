import { Skeleton } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Received } from "../api/client.ts";
import { Icon } from "./icon.tsx";
import { FailureNotice } from "./notice.tsx";

/** The page's landmark; `narrow` for what is read, not compared. */
export function Page({ children, narrow = false }: { readonly children: ReactNode; readonly narrow?: boolean }) {
  return (
    <main id="main" className={narrow ? "page narrow" : "page"} tabIndex={-1}>
      {children}
    </main>
  );
}

export function PageHead({
  title,
  children,
  above,
}: {
  readonly title: ReactNode;
  readonly children?: ReactNode;
  readonly above?: ReactNode;
}) {
  return (
    <div className="page-head">
      <div>
        {above !== undefined && <p className="page-above">{above}</p>}
        <h1>{title}</h1>
      </div>
      {children}
    </div>
  );
}

/** One line of a `<dl className="facts">`. */
export function Fact({
  name,
  tone,
  children,
}: {
  readonly name: string;
  readonly tone?: "bad" | undefined;
  readonly children: ReactNode;
}) {
  return (
    <div data-tone={tone}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

interface LoadedProps<T> {
  readonly query: UseQueryResult<Received<T>, Error>;
  /** What is loaded: "the documents". */
  readonly what: string;
  readonly rows?: number;
  /** The page's head comes with it. */
  readonly whole?: boolean;
  readonly children: (answer: T) => ReactNode;
}

/** One answer of central's: while it comes, when it did not come, and when what is shown is older than the last try. */
export function Loaded<T>({ query, what, rows = 3, whole = false, children }: LoadedProps<T>) {
  const { data, error } = query;
  if (!data && error) return <FailureNotice error={error} alone={whole} />;
  if (!data) {
    return (
      <div role="status" aria-label={`Loading ${what}`} className="loading">
        {Array.from({ length: rows }, (_, row) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
          <Skeleton key={row} height={row === 0 ? 44 : 92} radius="md" />
        ))}
      </div>
    );
  }
  return (
    <>
      {error && (
        <p className="old-answer" role="alert">
          <Icon name="warning" size={16} />
          <span>{error.message}. What you see is the answer before and may no longer be true.</span>
        </p>
      )}
      {children(data.answer)}
    </>
  );
}

/** An empty list inside a page that has more than it. */
export function Empty({ children }: { readonly children: ReactNode }) {
  return <div className="empty">{children}</div>;
}
