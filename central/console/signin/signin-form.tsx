import { Button, PasswordInput, TextInput } from "@mantine/core";
import { type FormEvent, useEffect, useState } from "react";
import { ApiError } from "../api/client.ts";
import { useSignIn } from "../api/session.ts";
import { Icon } from "../parts/icon.tsx";
import { formatAge, formatTime } from "../parts/time.ts";

/** Name and password. Where the account is locked it says until when, and lets one try again then. */
export function SignInForm({ user = "" }: { readonly user?: string }) {
  const [name, setName] = useState(user);
  const [password, setPassword] = useState("");
  const signIn = useSignIn();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn.mutate({ user: name.trim().toLowerCase(), password }, { onError: () => setPassword("") });
  };
  return (
    <form className="dialog-form" onSubmit={submit}>
      <TextInput
        label="User"
        name="username"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        withAsterisk={false}
        data-autofocus={user === "" || undefined}
        autoFocus={user === ""}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <PasswordInput
        label="Password"
        name="password"
        autoComplete="current-password"
        required
        withAsterisk={false}
        data-autofocus={user !== "" || undefined}
        autoFocus={user !== ""}
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
      <Refusal error={signIn.error} />
      <Button type="submit" loading={signIn.isPending} fullWidth>
        Sign in
      </Button>
    </form>
  );
}

function Refusal({ error }: { readonly error: Error | null }) {
  if (!error) return null;
  const until = error instanceof ApiError && error.status === 429 ? error.notBefore : undefined;
  return (
    <p className="failure" role="alert">
      <Icon name={until === undefined ? "warning" : "lock"} size={16} />
      <span>{until === undefined ? wordsOf(error) : <LockedOut until={until} />}</span>
    </p>
  );
}

/** Counts down on the spot, so that nobody tries again too early. */
function LockedOut({ until }: { readonly until: number }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  if (until <= now) return <>You can try again now.</>;
  return (
    <>
      <strong>Locked until {formatTime(new Date(until).toISOString(), false)}</strong>: too many wrong passwords came from here (
      {formatAge(until - now)} to go). An admin can help sooner.
    </>
  );
}

function wordsOf(error: Error): string {
  const detail = error instanceof ApiError && error.status === 401 ? error.problem.detail : undefined;
  if (typeof detail !== "string" || detail === "") return `${error.message}.`;
  return `${detail[0]?.toUpperCase()}${detail.slice(1)}.`;
}
