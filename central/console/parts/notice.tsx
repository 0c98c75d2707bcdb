import type { ReactNode } from "react";
import { ApiError } from "../api/client.ts";
import { Icon, type IconName } from "./icon.tsx";

interface NoticeProps {
  readonly icon: IconName;
  readonly title: string;
  readonly tone?: "calm" | "bad";
  readonly children?: ReactNode;
}

/** What stands where the content would be: nothing yet, not found, no access, no answer. */
export function Notice({ icon, title, tone = "calm", children }: NoticeProps) {
  return (
    <section className="notice" data-tone={tone} role={tone === "bad" ? "alert" : undefined}>
      <span className="notice-icon">
        <Icon name={icon} size={26} />
      </span>
      <h1>{title}</h1>
      {children}
    </section>
  );
}

/** The first load failed: why, and what a person can do. */
export function FailureNotice({ error }: { readonly error: Error }) {
  if (error instanceof ApiError && error.status === 401) {
    return (
      <Notice icon="lock" title="This browser has no session">
        <p>
          Open the address that central printed when it started: it signs this browser in. The page goes on by itself as soon as
          the session is there.
        </p>
      </Notice>
    );
  }
  if (error instanceof ApiError && error.status === 403) {
    return (
      <Notice icon="lock" title="You may not see this">
        <p>{error.message}</p>
      </Notice>
    );
  }
  return (
    <Notice
      icon="warning"
      tone="bad"
      title={error instanceof ApiError && error.status > 0 ? "Central answered with an error" : "Central does not answer"}
    >
      <p>{error.message}. The plants go on working without it; this page tries again every 2 s.</p>
    </Notice>
  );
}
