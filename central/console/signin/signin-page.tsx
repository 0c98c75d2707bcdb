import type { ReactNode } from "react";
import { useLocation } from "wouter";
import { SchemeToggle } from "../parts/scheme-toggle.tsx";
import { useTitle } from "../parts/title.ts";
import { PasswordForm } from "./password-form.tsx";
import { SignInForm } from "./signin-form.tsx";

/** Stands in the place of the page that was wanted: its address stays, and it opens as soon as one is signed in. */
export function SignInPage() {
  useTitle("Sign in");
  const [location] = useLocation();
  return (
    <Gate title="Sign in">
      {location !== "/" && (
        <p className="quiet">
          You go on to <span className="mono">{location}</span>.
        </p>
      )}
      <SignInForm />
      <p className="tiny">
        No password yet, or forgotten? Open a one-time link: an admin makes one with <code>plantgate user link</code>, and central
        prints one when it starts for the first time.
      </p>
    </Gate>
  );
}

/** A one-time link was opened: the first thing to do is a password of one's own. */
export function FirstPasswordPage({ user }: { readonly user: string }) {
  useTitle("Set a password");
  return (
    <Gate title="Set your password">
      <p className="quiet">
        You are signed in as <b>{user}</b> by a link that works once. From now on you sign in with this password.
      </p>
      <PasswordForm user={user} asksCurrent={false} />
    </Gate>
  );
}

function Gate({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <div className="gate">
      <div className="gate-scheme">
        <SchemeToggle />
      </div>
      <main id="main" className="card gate-card">
        <p className="gate-brand">
          <svg aria-hidden="true" viewBox="0 0 32 32" width="30" height="30">
            <rect width="32" height="32" rx="7" className="brand-ground" />
            <path d="M8 24V11.5a8 8 0 0 1 16 0V24M16 24V13" fill="none" stroke="#fff" strokeWidth="3" strokeLinecap="round" />
            <circle cx="16" cy="12" r="2.6" fill="#fff" />
          </svg>
          Plantgate
        </p>
        <h1>{title}</h1>
        {children}
      </main>
    </div>
  );
}
