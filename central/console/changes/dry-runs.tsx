import { Button, NumberInput, Select } from "@mantine/core";
import { type FormEvent, useState } from "react";
import type { DryRunView } from "../../http/api/sites.ts";
import { useAskDryRun, useDryRun } from "../api/fleet.ts";
import { Failure } from "../parts/failure.tsx";
import { FieldDifferences, Refusals } from "../parts/field-differences.tsx";
import { Icon } from "../parts/icon.tsx";
import { Empty, Loaded } from "../parts/page.tsx";
import { formatCount, plural } from "../parts/time.ts";
import { useUrlState } from "../parts/url-state.ts";
import { When } from "../parts/when.tsx";

/** A site's last messages through the new flows, in its gateway: what would come out differently. Nothing is sent anywhere. */
export function DryRuns({ change, sites }: { readonly change: number; readonly sites: readonly string[] }) {
  const [site, setSite] = useUrlState("site");
  const [run, setRun] = useUrlState("run");
  const [messages, setMessages] = useState(1000);
  const ask = useAskDryRun();
  const chosen = site === "" ? (sites[0] ?? "") : site;
  if (sites.length === 0) {
    return (
      <Empty>
        <p>The change reaches no site; there is nowhere to try it.</p>
      </Empty>
    );
  }
  const submit = (event: FormEvent) => {
    event.preventDefault();
    ask.mutate({ site: chosen, change, messages }, { onSuccess: ({ id }) => setRun(id) });
  };
  return (
    <>
      <form className="filters dry-run-form" onSubmit={submit}>
        <Select
          size="xs"
          label="Site"
          searchable={sites.length > 8}
          data={[...sites]}
          value={chosen}
          allowDeselect={false}
          onChange={(value) => {
            setSite(value ?? "");
            setRun("");
          }}
        />
        <NumberInput
          size="xs"
          label="Last messages"
          min={1}
          max={10_000}
          value={messages}
          onChange={(value) => setMessages(Number(value) || 1)}
        />
        <Button size="xs" type="submit" loading={ask.isPending}>
          Try it there
        </Button>
      </form>
      <Failure error={ask.error} doing={`ask ${chosen} for a dry run`} />
      {run === "" ? (
        <p className="quiet below">
          The gateway runs its last recorded inputs through these flows and reports field by field what would differ. It sends
          nothing.
        </p>
      ) : (
        <Run site={chosen} id={run} />
      )}
    </>
  );
}

function Run({ site, id }: { readonly site: string; readonly id: string }) {
  const query = useDryRun(site, id);
  return (
    <Loaded query={query} what="the dry run" rows={1}>
      {(run) => (
        <section aria-label={`Dry run at ${site}`} className="dry-run">
          <p role="status" className="dry-run-state">
            {run.state === "asked" ? (
              <>
                <Icon name="clock" size={14} /> Asked {site} <When at={run.askedAt} />; it answers when it is in reach.
              </>
            ) : run.state === "failed" ? (
              <>
                <Icon name="cross" size={14} /> It did not run: {run.reason ?? "no reason given"}
              </>
            ) : (
              run.result && <Summary result={run.result} />
            )}
          </p>
          {run.result && <Result result={run.result} />}
        </section>
      )}
    </Loaded>
  );
}

type Result = NonNullable<DryRunView["result"]>;

function Summary({ result }: { readonly result: Result }) {
  return (
    <>
      <Icon name={result.different === 0 ? "check" : "warning"} size={14} />
      <span>
        <b>{plural(result.inputs, "input")}</b>: {formatCount(result.same)} come out the same,{" "}
        <b>
          {formatCount(result.different)} {result.different === 1 ? "differs" : "differ"}
        </b>
        .{result.skipped > 0 && ` ${formatCount(result.skipped)} were not run: the time was up.`}
      </span>
    </>
  );
}

function Result({ result }: { readonly result: Result }) {
  return (
    <div className="stack">
      {[...result.flows]
        .sort((a, b) => b.different - a.different)
        .map((flow) => (
          <section key={flow.flow} className="card" aria-label={`Flow ${flow.flow}`}>
            <div className="flow-head">
              <h3 className="flow-name">{flow.flow}</h3>
              <span className="quiet">
                {plural(flow.inputs, "input")}, {formatCount(flow.different)} {flow.different === 1 ? "differs" : "differ"}
              </span>
              {flow.refusedBefore !== flow.refusedAfter && (
                <span className="refused">
                  refused: {formatCount(flow.refusedBefore)} before, <b>{formatCount(flow.refusedAfter)} after</b>
                </span>
              )}
            </div>
            <Refusals reasons={flow.reasons} />
            <FieldDifferences
              fields={flow.fields}
              label={`Fields of ${flow.flow} that would differ`}
              before="Before, for example"
              after="After"
            />
          </section>
        ))}
    </div>
  );
}
