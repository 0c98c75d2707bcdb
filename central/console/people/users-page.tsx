import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import type { Role } from "../../auth/actor.ts";
import type { UserView } from "../../http/api/people.ts";
import { useAddUser, useEditUser, useMakeLink, useUsers } from "../api/people.ts";
import { useHasRole, useMe } from "../api/session.ts";
import { Badge, type Look } from "../parts/badge.tsx";
import { Copied } from "../parts/copied.tsx";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { Failure } from "../parts/failure.tsx";
import { Grid } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { Empty, Loaded, Page, PageHead } from "../parts/page.tsx";
import { formatTime } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { When } from "../parts/when.tsx";
import { AccessTabs } from "./access-tabs.tsx";
import { EnvironmentList, RoleFields } from "./role-fields.tsx";

type Asked = { readonly kind: "add" } | { readonly kind: "edit" | "link"; readonly user: UserView };

/** Who may sign in, with which roles, where. */
export function UsersPage() {
  useTitle("Users");
  const query = useUsers();
  const mayDecide = useHasRole("admin");
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  return (
    <Page>
      <PageHead title="Users">
        <AccessTabs />
        {mayDecide && (
          <Button className="to-the-right" leftSection={<Icon name="plus" size={14} />} onClick={() => setAsked({ kind: "add" })}>
            Add a user
          </Button>
        )}
      </PageHead>
      <Loaded query={query} what="the users">
        {({ users }) =>
          users.length === 0 ? (
            <Empty>
              <p>Nobody has an account yet. Central's admin token works until there is one.</p>
            </Empty>
          ) : (
            <Table users={users} mayDecide={mayDecide} onAsk={setAsked} />
          )
        }
      </Loaded>
      {asked?.kind === "add" && <AddDialog onClose={close} />}
      {asked?.kind === "edit" && <EditDialog user={asked.user} onClose={close} />}
      {asked?.kind === "link" && <LinkDialog name={asked.user.name} onClose={close} />}
    </Page>
  );
}

interface TableProps {
  readonly users: readonly UserView[];
  readonly mayDecide: boolean;
  readonly onAsk: (asked: Asked) => void;
}

function Table({ users, mayDecide, onAsk }: TableProps) {
  const me = useMe();
  const edit = useEditUser();
  return (
    <>
      <Failure error={edit.error} doing="change the account" />
      <Grid name="Users" columns={["User", "State", "Roles", "Environments", "Added", mayDecide && "What to do"]}>
        {users.map((user) => (
          <tr key={user.name}>
            <th scope="row">
              {user.name} {user.name === me.user && <span className="tiny">you</span>}
            </th>
            <td>
              <Badge look={lookOf(user)} small />
            </td>
            <td>{user.roles.join(", ") || <span className="quiet">none</span>}</td>
            <td>
              <EnvironmentList environments={user.environments} />
            </td>
            <td>
              <When at={user.createdAt} /> by {user.createdBy}
            </td>
            {mayDecide && (
              <td>
                <div className="row-acts">
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={`Edit ${user.name}`}
                    onClick={() => onAsk({ kind: "edit", user })}
                  >
                    Edit
                  </Button>
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={`One-time link for ${user.name}`}
                    onClick={() => onAsk({ kind: "link", user })}
                  >
                    One-time link
                  </Button>
                  {user.lockedUntil !== null && (
                    <Button
                      size="compact-xs"
                      aria-label={`Unlock ${user.name}`}
                      onClick={() => edit.mutate({ name: user.name, unlock: true })}
                    >
                      Unlock
                    </Button>
                  )}
                </div>
              </td>
            )}
          </tr>
        ))}
      </Grid>
    </>
  );
}

function lookOf(user: UserView): Look {
  if (user.disabled) return { tone: "idle", icon: "cross", word: "disabled" };
  if (user.lockedUntil !== null)
    return { tone: "bad", icon: "lock", word: `locked until ${formatTime(user.lockedUntil, false)}` };
  if (!user.hasPassword) return { tone: "change", icon: "question", word: "no password yet" };
  return { tone: "good", icon: "check", word: "active" };
}

function AddDialog({ onClose }: { readonly onClose: () => void }) {
  const [name, setName] = useState("");
  const [roles, setRoles] = useState<Role[]>(["viewer"]);
  const [environments, setEnvironments] = useState(["*"]);
  const add = useAddUser();
  return (
    <Dialog title="Add a user" opened onClose={onClose} size={600}>
      {add.data ? (
        <div className="dialog-form">
          <p>{name} exists now.</p>
          <LinkMaker name={name} />
          <div className="dialog-buttons">
            <Button onClick={onClose}>Done</Button>
          </div>
        </div>
      ) : (
        <DialogForm
          act="Add"
          doing="add the user"
          busy={add.isPending}
          error={add.error}
          disabled={roles.length === 0}
          onCancel={onClose}
          onSubmit={() => add.mutate({ name, roles, environments })}
        >
          <TextInput
            label="Name"
            description="Lower-case letters, digits, . _ - @"
            required
            data-autofocus
            autoComplete="off"
            value={name}
            onChange={(event) => setName(event.currentTarget.value.toLowerCase())}
          />
          <RoleFields roles={roles} environments={environments} onRoles={setRoles} onEnvironments={setEnvironments} />
        </DialogForm>
      )}
    </Dialog>
  );
}

function EditDialog({ user, onClose }: { readonly user: UserView; readonly onClose: () => void }) {
  const [roles, setRoles] = useState<Role[]>([...user.roles]);
  const [environments, setEnvironments] = useState([...user.environments]);
  const edit = useEditUser();
  return (
    <Dialog title={`Edit ${user.name}`} opened onClose={onClose} size={600}>
      <DialogForm
        act="Save"
        doing="save"
        busy={edit.isPending}
        error={edit.error}
        disabled={roles.length === 0}
        onCancel={onClose}
        onSubmit={() => edit.mutate({ name: user.name, roles, environments }, { onSuccess: onClose })}
      >
        <RoleFields roles={roles} environments={environments} onRoles={setRoles} onEnvironments={setEnvironments} />
        <p className="tiny">
          {user.disabled
            ? "The account is disabled; its sessions and tokens are refused."
            : "A disabled account's sessions and tokens are refused at once."}{" "}
          <button
            type="button"
            className="link"
            onClick={() => edit.mutate({ name: user.name, disabled: !user.disabled }, { onSuccess: onClose })}
          >
            {user.disabled ? "Enable the account" : "Disable the account"}
          </button>
        </p>
      </DialogForm>
    </Dialog>
  );
}

function LinkDialog({ name, onClose }: { readonly name: string; readonly onClose: () => void }) {
  return (
    <Dialog title={`One-time link for ${name}`} opened onClose={onClose} size={600}>
      <div className="dialog-form">
        <LinkMaker name={name} />
      </div>
    </Dialog>
  );
}

/** Asks before it makes one: an earlier link ends with it. */
function LinkMaker({ name }: { readonly name: string }) {
  const make = useMakeLink();
  if (make.data) return <OneTimeLink name={name} url={make.data.url} />;
  return (
    <>
      <p>
        The link signs {name} in once, to set a password. Hand it over on a way that only {name} reads.
      </p>
      <Failure error={make.error} doing="make the link" />
      <div className="dialog-buttons">
        <Button loading={make.isPending} onClick={() => make.mutate(name)}>
          Make the link
        </Button>
      </div>
    </>
  );
}

function OneTimeLink({ name, url }: { readonly name: string; readonly url: string }) {
  return (
    <>
      <Copied what={`One-time link for ${name}`} text={url} />
      <p className="quiet">It works once and soon ends. It is shown now and never again.</p>
    </>
  );
}
