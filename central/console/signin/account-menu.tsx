import { Menu, UnstyledButton } from "@mantine/core";
import { useState } from "react";
import { useMe, useSignOut } from "../api/session.ts";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { Icon } from "../parts/icon.tsx";
import { PasswordForm } from "./password-form.tsx";

/** Who one is, what one may do and where, and the way out. */
export function AccountMenu() {
  const me = useMe();
  const signOut = useSignOut();
  const [changing, setChanging] = useState(false);
  return (
    <>
      <Menu position="bottom-end" width={280} transitionProps={{ duration: 0 }}>
        <Menu.Target>
          <UnstyledButton className="account" aria-label={`Signed in as ${me.user}. Account`}>
            <Icon name="person" size={16} />
            <span className="account-name">{me.user}</span>
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          <div className="account-card">
            <p>
              <b>{me.user}</b>
            </p>
            <dl>
              <div>
                <dt>Roles</dt>
                <dd>{me.roles.length === 0 ? "none" : me.roles.join(", ")}</dd>
              </div>
              <div>
                <dt>Environments</dt>
                <dd>{me.environments.includes("*") ? "all" : me.environments.join(", ") || "none"}</dd>
              </div>
            </dl>
          </div>
          {me.kind === "user" && <Menu.Item onClick={() => setChanging(true)}>Change the password</Menu.Item>}
          <Menu.Item onClick={() => signOut.mutate()}>Sign out</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Dialog title="You are still signed in" opened={signOut.isError} onClose={() => signOut.reset()}>
        <DialogForm
          act="Sign out"
          doing="sign out"
          busy={signOut.isPending}
          error={signOut.error}
          onCancel={() => signOut.reset()}
          onSubmit={() => signOut.mutate()}
        >
          <p>Central has to end the session; until it does, whoever sits here acts as {me.user}.</p>
        </DialogForm>
      </Dialog>
      <Dialog title="Change the password" opened={changing} onClose={() => setChanging(false)}>
        <PasswordForm user={me.user} asksCurrent onDone={() => setChanging(false)} />
      </Dialog>
    </>
  );
}
