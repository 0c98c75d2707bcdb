import { Button, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import type { Role } from "../../auth/actor.ts";
import { type Token, useMakeToken, useRevokeToken, useTokens } from "../api/people.ts";
import { useMe } from "../api/session.ts";
import { Badge, type Look } from "../parts/badge.tsx";
import { Copied } from "../parts/copied.tsx";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { Grid } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { Notice } from "../parts/notice.tsx";
import { Loaded, Page, PageHead } from "../parts/page.tsx";
import { useTitle } from "../parts/title.ts";
import { Until, When } from "../parts/when.tsx";
import { AccessTabs } from "./access-tabs.tsx";
import { EnvironmentList, RoleFields } from "./role-fields.tsx";

const day = 86_400;
const lives = [
  { value: String(day), label: "1 day" },
  { value: String(30 * day), label: "30 days" },
  { value: String(90 * day), label: "90 days" },
  { value: String(365 * day), label: "1 year" },
];

/** Tokens for tools that act for a person: with a purpose, some of the person's roles, and an end. */
export function TokensPage() {
  useTitle("API tokens");
  const query = useTokens();
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  return (
    <Page>
      <PageHead title="API tokens">
        <AccessTabs />
        <Button className="to-the-right" leftSection={<Icon name="plus" size={14} />} onClick={() => setMaking(true)}>
          Make a token
        </Button>
      </PageHead>
      <Loaded query={query} what="the tokens">
        {({ tokens }) =>
          tokens.length === 0 ? (
            <Notice icon="lock" title="No tokens">
              <p>
                A token lets a tool, such as a build server, call central's API for you: with some of your roles, until a day that
                you choose.
              </p>
            </Notice>
          ) : (
            <Table tokens={tokens} onRevoke={setRevoking} />
          )
        }
      </Loaded>
      {making && <MakeDialog onClose={() => setMaking(false)} />}
      {revoking && <RevokeDialog token={revoking} onClose={() => setRevoking(null)} />}
    </Page>
  );
}

function Table({ tokens, onRevoke }: { readonly tokens: readonly Token[]; readonly onRevoke: (token: Token) => void }) {
  return (
    <Grid
      name="API tokens"
      columns={["Purpose", "Acts for", "State", "Roles", "Environments", "Ends", "Last used", "What to do"]}
    >
      {tokens.map((token) => {
        const look = lookOf(token);
        return (
          <tr key={token.id}>
            <th scope="row">{token.purpose}</th>
            <td>{token.user}</td>
            <td>
              <Badge look={look} small />
            </td>
            <td>{token.roles.join(", ")}</td>
            <td>
              <EnvironmentList environments={token.environments} />
            </td>
            <td>
              <Until at={token.expiresAt} />
            </td>
            <td>{token.lastUsedAt === null ? <span className="quiet">never</span> : <When at={token.lastUsedAt} />}</td>
            <td>
              {look.word === "active" ? (
                <Button
                  size="compact-xs"
                  variant="default"
                  aria-label={`Revoke ${token.purpose}`}
                  onClick={() => onRevoke(token)}
                >
                  Revoke
                </Button>
              ) : (
                <span className="quiet">–</span>
              )}
            </td>
          </tr>
        );
      })}
    </Grid>
  );
}

function lookOf(token: Token): Look {
  if (token.revokedAt !== null) return { tone: "bad", icon: "cross", word: "revoked" };
  if (Date.parse(token.expiresAt) <= Date.now()) return { tone: "idle", icon: "clock", word: "ended" };
  return { tone: "good", icon: "check", word: "active" };
}

function MakeDialog({ onClose }: { readonly onClose: () => void }) {
  const me = useMe();
  const [purpose, setPurpose] = useState("");
  const [life, setLife] = useState(String(30 * day));
  const [roles, setRoles] = useState<Role[]>(["viewer"]);
  const [environments, setEnvironments] = useState<string[]>([...me.environments]);
  const make = useMakeToken();
  const choices = [...new Set<Role>(["viewer", ...me.roles])];
  return (
    <Dialog title="Make a token" opened onClose={onClose} size={600}>
      {make.data ? (
        <div className="dialog-form">
          <Copied what="The token" text={make.data.token} />
          <p className="quiet">It is shown now and never again. Whoever has it acts for you; keep it like a password.</p>
          <div className="dialog-buttons">
            <Button onClick={onClose}>Done</Button>
          </div>
        </div>
      ) : (
        <DialogForm
          act="Make the token"
          doing="make the token"
          busy={make.isPending}
          error={make.error}
          disabled={roles.length === 0}
          onCancel={onClose}
          onSubmit={() => make.mutate({ purpose, roles, environments, lifeSeconds: Number(life) })}
        >
          <TextInput
            label="Purpose"
            placeholder="Which tool uses it, and for what"
            required
            data-autofocus
            maxLength={200}
            value={purpose}
            onChange={(event) => setPurpose(event.currentTarget.value)}
          />
          <Select
            label="Ends after"
            data={lives}
            value={life}
            allowDeselect={false}
            onChange={(value) => setLife(value ?? life)}
          />
          <RoleFields
            roles={roles}
            environments={environments}
            onRoles={setRoles}
            onEnvironments={setEnvironments}
            choices={choices}
          />
        </DialogForm>
      )}
    </Dialog>
  );
}

function RevokeDialog({ token, onClose }: { readonly token: Token; readonly onClose: () => void }) {
  const revoke = useRevokeToken();
  return (
    <Dialog title={`Revoke: ${token.purpose}`} opened onClose={onClose}>
      <DialogForm
        act="Revoke"
        doing="revoke the token"
        danger
        busy={revoke.isPending}
        error={revoke.error}
        onCancel={onClose}
        onSubmit={() => revoke.mutate(token.id, { onSuccess: onClose })}
      >
        <p>Calls with it are refused from now on. It cannot be taken back.</p>
      </DialogForm>
    </Dialog>
  );
}
