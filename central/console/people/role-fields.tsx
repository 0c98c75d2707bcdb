import { Checkbox, TagsInput } from "@mantine/core";
import type { Role } from "../../auth/actor.ts";
import { environmentOrder } from "../../change/environments.ts";

/** What each role lets one do; a viewer is whoever has any. */
export const roleWords: Readonly<Record<Role, string>> = {
  viewer: "sees everything",
  operator: "acts on rollouts and plants",
  engineer: "writes documents and changes",
  approver: "approves the changes of others",
  admin: "manages users, sites and keys; does what operators and engineers do, never approves",
};
const roles = Object.keys(roleWords) as Role[];

interface RoleFieldsProps {
  readonly roles: readonly Role[];
  readonly environments: readonly string[];
  readonly onRoles: (roles: Role[]) => void;
  readonly onEnvironments: (environments: string[]) => void;
  /** Only these can be given; a token has no more than its owner. */
  readonly choices?: readonly Role[];
}

export function RoleFields({ roles: chosen, environments, onRoles, onEnvironments, choices = roles }: RoleFieldsProps) {
  return (
    <>
      <Checkbox.Group label="Roles" value={[...chosen]} onChange={(value) => onRoles(value as Role[])}>
        <div className="choices">
          {roles
            .filter((role) => choices.includes(role))
            .map((role) => (
              <Checkbox key={role} value={role} label={`${role}: ${roleWords[role]}`} />
            ))}
        </div>
      </Checkbox.Group>
      <TagsInput
        label="Environments"
        description="* is all of them"
        data={["*", ...environmentOrder]}
        value={[...environments]}
        onChange={onEnvironments}
      />
    </>
  );
}

export function EnvironmentList({ environments }: { readonly environments: readonly string[] }) {
  return <>{environments.includes("*") ? "all" : environments.join(", ") || "none"}</>;
}
