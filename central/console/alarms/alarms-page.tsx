import { SegmentedControl } from "@mantine/core";
import { Link } from "wouter";
import type { ExceptionView } from "../../http/views.ts";
import { useAlarms } from "../api/alarms.ts";
import { Badge, type Look } from "../parts/badge.tsx";
import { Grid } from "../parts/grid.tsx";
import { Notice } from "../parts/notice.tsx";
import { Empty, Loaded, Page, PageHead } from "../parts/page.tsx";
import { formatCount } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { useUrlState } from "../parts/url-state.ts";
import { When } from "../parts/when.tsx";
import { sitePath } from "../sites/site-card.tsx";
import { alarmWord } from "./words.ts";

const recentMs = 7 * 86_400_000;
const isOpen = ({ stands, endedAt, lastAt }: ExceptionView): boolean =>
  stands || (endedAt === null && Date.now() - Date.parse(lastAt) < recentMs);

const groups = [
  { value: "now", label: "Now and this week", has: isOpen },
  { value: "before", label: "Before", has: (alarm: ExceptionView) => !isOpen(alarm) },
  { value: "all", label: "All", has: () => true },
] as const;

/** What people are told of: by central itself first, as no site's page shows that. */
export function AlarmsPage() {
  const query = useAlarms();
  useTitle("Alarms");
  return (
    <Page>
      <PageHead title="Alarms" />
      <Loaded query={query} what="the alarms">
        {({ exceptions }) =>
          exceptions.length === 0 ? (
            <Notice icon="check" title="Nothing to tell">
              <p>
                What was lost, cannot be read, is overdue or did not do well comes here, and to the card of its site. What to do
                about each kind stands in the operations guide.
              </p>
            </Notice>
          ) : (
            <All exceptions={exceptions} />
          )
        }
      </Loaded>
    </Page>
  );
}

function All({ exceptions }: { readonly exceptions: readonly ExceptionView[] }) {
  const [asked, setAsked] = useUrlState("show");
  const group = groups.find(({ value }) => value === asked) ?? groups[0];
  const shown = exceptions.filter(group.has);
  const own = shown.filter(({ site }) => site === null);
  const ofSites = shown.filter(({ site }) => site !== null);
  return (
    <>
      <div className="filters">
        <SegmentedControl
          size="xs"
          className="groups"
          aria-label="Show"
          value={group.value}
          onChange={(value) => setAsked(value === "now" ? "" : value)}
          data={groups.map(({ value, label, has }) => ({ value, label: `${label} ${exceptions.filter(has).length}` }))}
        />
      </div>
      {shown.length === 0 && (
        <Empty>
          <p>No alarm is like this.</p>
        </Empty>
      )}
      {own.length > 0 && <Table title="Central and rollouts" alarms={own} />}
      {ofSites.length > 0 && <Table title="Sites" alarms={ofSites} />}
    </>
  );
}

function Table({ title, alarms }: { readonly title: string; readonly alarms: readonly ExceptionView[] }) {
  const isOfSites = alarms.some(({ site }) => site !== null);
  return (
    <>
      <h2 className="section-title">{title}</h2>
      <Grid
        name={title}
        columns={[isOfSites && "Site", "Alarm", "What happened", { overNumbers: "Count" }, "First", "Last"]}
        look="alarm-table"
      >
        {alarms.map((alarm) => (
          <tr key={JSON.stringify([alarm.site, alarm.kind, alarm.lane, alarm.type, alarm.target])}>
            {alarm.site !== null && (
              <th scope="row">
                <Link href={sitePath(alarm.site)}>{alarm.site}</Link>
              </th>
            )}
            <td>
              <Badge look={lookOf(alarm)} small />
            </td>
            <td className="alarm-words">
              {alarm.reason}
              {alarm.type !== null && <span className="tiny"> {alarm.type}</span>}
              {alarm.kind === "ledger-restored" && (
                <span className="tiny">
                  {" "}
                  <Link href="/recovery">how far it is</Link>
                </span>
              )}
            </td>
            <td className="num">{formatCount(alarm.count)}</td>
            <td>
              <When at={alarm.firstAt} />
            </td>
            <td>
              {alarm.endedAt === null ? (
                <When at={alarm.lastAt} />
              ) : (
                <span className="quiet">
                  over <When at={alarm.endedAt} />
                </span>
              )}
            </td>
          </tr>
        ))}
      </Grid>
    </>
  );
}

function lookOf({ kind, severity, endedAt }: ExceptionView): Look {
  const word = alarmWord(kind);
  if (endedAt !== null) return { tone: "idle", icon: "check", word, meaning: `${kind}: over` };
  return { tone: severity === "error" ? "bad" : "warn", icon: "warning", word, meaning: kind };
}
