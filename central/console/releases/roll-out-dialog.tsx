import { Select, Textarea, TextInput } from "@mantine/core";
import { useState } from "react";
import { useLocation } from "wouter";
import { compareEnvironments, environmentBefore } from "../../change/environments.ts";
import type { ReleaseSite, ReleaseView } from "../../http/api/releases.ts";
import { useRollOut } from "../api/configuration.ts";
import { Dialog, DialogForm } from "../parts/dialog.tsx";
import { Icon } from "../parts/icon.tsx";
import { plural } from "../parts/time.ts";

interface Props {
  readonly release: ReleaseView;
  readonly sites: readonly ReleaseSite[];
  readonly onClose: () => void;
}

/** A version goes to an environment as a change does: read by somebody else where that is asked for, then in waves. */
export function RollOutDialog({ release, sites, onClose }: Props) {
  const { version } = release;
  const environments = [...new Set(sites.map(({ environment }) => environment).filter((name) => name !== ""))].sort(
    compareEnvironments,
  );
  const [environment, setEnvironment] = useState(environments[0] ?? "dev");
  const [title, setTitle] = useState(`Gateways to ${version}`);
  const [untested, setUntested] = useState("");
  const [, goTo] = useLocation();
  const rollOut = useRollOut();
  const own = sites.filter((site) => site.environment === environment);
  const others = own.filter((site) => site.version !== null && site.version !== version && site.installed !== null);
  const byHand = own.filter((site) => site.version !== null && site.installed === null);
  const from = environmentBefore.get(environment);
  const isUntested = from !== undefined && !release.ran.some((ran) => ran.environment === from);
  const said = untested.trim();
  return (
    <Dialog title={`Roll out ${version}`} opened onClose={onClose}>
      <DialogForm
        act="Roll out"
        doing="begin the rollout"
        busy={rollOut.isPending}
        error={rollOut.error}
        disabled={title.trim() === "" || (isUntested && environment === "prod" && said === "")}
        onCancel={onClose}
        onSubmit={() =>
          rollOut.mutate(
            { title: title.trim(), environment, release: version, ...(isUntested && said !== "" ? { untested: said } : {}) },
            { onSuccess: ({ number, rollout }) => goTo(rollout === null ? `/changes/${number}` : `/rollouts/${rollout}`) },
          )
        }
      >
        <Select
          label="Environment"
          data={environments.length === 0 ? ["dev"] : environments}
          value={environment}
          allowDeselect={false}
          data-autofocus
          onChange={(value) => setEnvironment(value ?? environment)}
        />
        <TextInput
          label="Title"
          required
          maxLength={200}
          value={title}
          onChange={(event) => setTitle(event.currentTarget.value)}
        />
        {isUntested && (
          <Textarea
            label={`Why it goes to ${environment} without having run in ${from}`}
            description={`${version} has held its gate at no site of ${from}. Better roll it out there first; what you write here is approved with it and stays in the audit log.`}
            required={environment === "prod"}
            autosize
            minRows={2}
            maxLength={2000}
            value={untested}
            onChange={(event) => setUntested(event.currentTarget.value)}
          />
        )}
        {release.beside === "newer" && (
          <p className="warning-line">
            <Icon name="warning" size={14} /> It is a later version than central's own: upgrade central first.
          </p>
        )}
        <p>
          {plural(others.length, "site")} at another version
          {byHand.length > 0 && `, ${byHand.length} left to be upgraded by hand`}. It goes in waves, a canary first. A site that
          is ahead of it and never ran it is left alone. A machine that is not well with it goes back by itself, and then the
          rollout is put back. Where the environment asks for review, somebody else approves it before anything happens.
        </p>
      </DialogForm>
    </Dialog>
  );
}
