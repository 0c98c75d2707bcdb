import { Button, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { type AuditAnswer, useAudit, useVerifyAudit } from "../api/people.ts";
import { Failure } from "../parts/failure.tsx";
import { Grid } from "../parts/grid.tsx";
import { Icon } from "../parts/icon.tsx";
import { FailureNotice } from "../parts/notice.tsx";
import { Empty, Page, PageHead } from "../parts/page.tsx";
import { describeInstant, formatCount, formatDay, formatTime, plural } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { useUrlState } from "../parts/url-state.ts";
import { AccessTabs } from "./access-tabs.tsx";

/** Who did what, in an unbroken chain, and whether the chain is whole. */
export function AuditPage() {
  useTitle("Audit");
  const [actor, setActor] = useUrlState("actor");
  const [action, setAction] = useUrlState("action");
  const [subject, setSubject] = useUrlState("subject");
  const [filter] = useDebouncedValue({ actor, action, subject }, 250);
  const query = useAudit(filter);
  const entries = query.data?.pages.flatMap(({ answer }) => [...answer.entries].reverse()) ?? [];
  return (
    <Page>
      <PageHead title="Audit">
        <AccessTabs />
        <Verify />
      </PageHead>
      <search className="filters" aria-label="Narrow the entries">
        <Filter name="Who" value={actor} onChange={setActor} />
        <Filter name="What" value={action} onChange={setAction} />
        <Filter name="On what" value={subject} onChange={setSubject} />
      </search>
      {query.error && !query.data && <FailureNotice error={query.error} />}
      {query.isPending && <div role="status" aria-label="Loading the entries" className="loading" />}
      {query.data && entries.length === 0 && (
        <Empty>
          <p>No entry is like this.</p>
        </Empty>
      )}
      {entries.length > 0 && <Entries entries={entries} />}
      {query.hasNextPage && (
        <Button className="below" variant="default" loading={query.isFetchingNextPage} onClick={() => query.fetchNextPage()}>
          Show earlier ones
        </Button>
      )}
    </Page>
  );
}

function Filter({
  name,
  value,
  onChange,
}: {
  readonly name: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}) {
  return (
    <TextInput
      size="xs"
      placeholder={name}
      aria-label={name}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

function Entries({ entries }: { readonly entries: AuditAnswer["entries"] }) {
  return (
    <Grid
      name="Entries of the audit log"
      columns={[{ overNumbers: "No." }, "When", "Who", "What", "On what", "Hash"]}
      look="audit"
    >
      {entries.map((entry) => (
        <tr key={entry.number}>
          <td className="num">{entry.number}</td>
          <td className="nowrap" title={describeInstant(entry.at)}>
            {formatDay(entry.at)} {formatTime(entry.at, false)}
          </td>
          <td>{entry.actor}</td>
          <td className="mono">{entry.action}</td>
          <td>
            {entry.subject}
            {entry.detail && Object.keys(entry.detail).length > 0 && (
              <details className="overrides">
                <summary>more</summary>
                <pre className="detail">{JSON.stringify(entry.detail, null, 2)}</pre>
              </details>
            )}
          </td>
          <td className="mono tiny" title={entry.hash}>
            {entry.hash.slice(0, 10)}
          </td>
        </tr>
      ))}
    </Grid>
  );
}

function Verify() {
  const verify = useVerifyAudit();
  return (
    <div className="verify to-the-right">
      <span role="status">
        {verify.data &&
          (verify.data.badAt === null ? (
            <span className="verify-good">
              <Icon name="check" size={14} /> {plural(verify.data.entries, "entry", "entries")}, unbroken
              {verify.data.head !== "" && <span className="mono tiny"> {verify.data.head.slice(0, 10)}</span>}
            </span>
          ) : (
            <span className="verify-bad">
              <Icon name="warning" size={14} /> Broken at entry {formatCount(verify.data.badAt)}: it or one before it was changed
            </span>
          ))}
      </span>
      <Failure error={verify.error} doing="verify the chain" />
      <Button variant="default" loading={verify.isPending} onClick={() => verify.mutate()}>
        Verify the chain
      </Button>
    </div>
  );
}
