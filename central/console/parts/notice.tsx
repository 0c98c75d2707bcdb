import type { ReactNode } from "react";
import { ApiError } from "../api/client.ts";
import { Icon, type IconName } from "./icon.tsx";

interface NoticeProps {
  readonly icon: IconName;
  readonly title: string;
  readonly tone?: "calm" | "bad";
  /** It is all that the page shows, so its title is the page's. */
  readonly alone?: boolean;
  readonly children?: ReactNode;
}

/** What stands where the content would be: nothing yet, not found, no access, no answer. */
export function Notice({ icon, title, tone = "calm", alone = false, children }: NoticeProps) {
  const Title = alone ? "h1" : "h2";
  return (
    <section className="notice" data-tone={tone} role={tone === "bad" ? "alert" : undefined}>
      <span className="notice-icon">
        <Icon name={icon} size={26} />
      </span>
      <Title className="notice-title">{title}</Title>
      {children}
    </section>
  );
}

/** The first load failed: why, and what a person can do. */
export function FailureNotice({ error, alone = false }: { readonly error: Error; readonly alone?: boolean }) {
  const status = error instanceof ApiError ? error.status : undefined;
  if (status === 401) {
    return (
      <Notice icon="lock" title="Your session has ended" alone={alone}>
        <p>Sign in again; the page goes on by itself.</p>
      </Notice>
    );
  }
  if (status === 403) {
    return (
      <Notice icon="lock" title="You may not see this" alone={alone}>
        <p>{error.message}</p>
      </Notice>
    );
  }
  if (status === 404) {
    return (
      <Notice icon="search" title="Central knows nothing of it" alone={alone}>
        <p>{error.message}. It may have another name, or lie in an environment that you do not see.</p>
      </Notice>
    );
  }
  return (
    <Notice
      icon="warning"
      tone="bad"
      alone={alone}
      title={status !== undefined && status > 0 ? "Central answered with an error" : "Central does not answer"}
    >
      <p>{error.message}. The plants go on working without it; this page tries again by itself.</p>
    </Notice>
  );
}
