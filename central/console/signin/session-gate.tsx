import { Modal } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import type { SessionView } from "../../http/api/people.ts";
import { SessionContext, useSession } from "../api/session.ts";
import { FailureNotice } from "../parts/notice.tsx";
import { SignInForm } from "./signin-form.tsx";
import { FirstPasswordPage, SignInPage } from "./signin-page.tsx";

/**
 * Lets nobody in without a session. One that ends while a page is open puts the sign-in over it and leaves the page as it is: what was being
 * written is still there afterwards.
 */
export function SessionGate({ children }: { readonly children: ReactNode }) {
  const { data, error } = useSession();
  const [last, setLast] = useState<SessionView | null>(null);
  // somebody else sits here now: nothing of the one before stays on the page or in memory
  const another = data != null && last !== null && data.user !== last.user;
  useEffect(() => {
    if (another) location.reload();
  }, [another]);
  if (data && data !== last && !another) setLast(data);
  const known = data ?? last;
  if (data === undefined && last === null) {
    return error ? (
      <main id="main" className="page">
        <FailureNotice error={error} alone />
      </main>
    ) : (
      <div role="status" aria-label="Loading the session" />
    );
  }
  if (another) return <div role="status" aria-label="Loading the session" />;
  if (known === null) return <SignInPage />;
  if (known.mustSetPassword) return <FirstPasswordPage user={known.user} />;
  return (
    <SessionContext value={known}>
      {children}
      <Modal
        opened={data === null}
        onClose={() => undefined}
        withCloseButton={false}
        closeOnEscape={false}
        closeOnClickOutside={false}
        title="Your session has ended"
        transitionProps={{ duration: 0 }}
        zIndex={400}
      >
        <p className="quiet dialog-words">Sign in again. What is on the page, also what you were writing, stays as it is.</p>
        <SignInForm user={known.user} />
      </Modal>
    </SessionContext>
  );
}
