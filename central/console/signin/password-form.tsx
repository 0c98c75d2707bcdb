import { Button, PasswordInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useSetPassword } from "../api/session.ts";
import { Failure } from "../parts/failure.tsx";

const shortest = 12;

interface PasswordFormProps {
  readonly user: string;
  /** Not after a one-time link: there is none, or it is forgotten. */
  readonly asksCurrent: boolean;
  readonly onDone?: () => void;
}

export function PasswordForm({ user, asksCurrent, onDone }: PasswordFormProps) {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const [tried, setTried] = useState(false);
  const set = useSetPassword();
  const tooShort = next.length < shortest ? `At least ${shortest} characters; a sentence is easier to keep than a riddle` : null;
  const differs = next === again ? null : "Not the same as above";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (tooShort !== null || differs !== null) return;
    set.mutate(asksCurrent ? { current, next } : { next }, { onSuccess: () => onDone?.() });
  };
  return (
    <form className="dialog-form" onSubmit={submit}>
      <input type="text" name="username" autoComplete="username" value={user} readOnly hidden />
      {asksCurrent && (
        <PasswordInput
          label="Current password"
          autoComplete="current-password"
          data-autofocus
          value={current}
          onChange={(event) => setCurrent(event.currentTarget.value)}
        />
      )}
      <PasswordInput
        label="New password"
        autoComplete="new-password"
        description={`At least ${shortest} characters`}
        error={tried ? tooShort : null}
        value={next}
        onChange={(event) => setNext(event.currentTarget.value)}
      />
      <PasswordInput
        label="New password, again"
        autoComplete="new-password"
        error={tried ? differs : null}
        value={again}
        onChange={(event) => setAgain(event.currentTarget.value)}
      />
      <Failure error={set.error} doing="set the password" />
      <Button type="submit" loading={set.isPending} fullWidth>
        Set the password
      </Button>
    </form>
  );
}
