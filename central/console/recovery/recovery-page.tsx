import { Link } from "wouter";
import { type Restored, useBackup, useRecovery } from "../api/recovery.ts";
import { Badge } from "../parts/badge.tsx";
import { Icon, type IconName } from "../parts/icon.tsx";
import { Notice } from "../parts/notice.tsx";
import { Fact, Loaded, Page, PageHead } from "../parts/page.tsx";
import { describeInstant, formatBytes, formatCount, plural } from "../parts/time.ts";
import { useTitle } from "../parts/title.ts";
import { When } from "../parts/when.tsx";
import { siteLooks, siteStates } from "./looks.ts";
import { RecoveryBar } from "./progress.tsx";
import { SiteRecoveryRow } from "./site-recovery.tsx";

/** How far gateways have brought a restored central, and what they cannot bring. */
export function RecoveryPage() {
  useTitle("Recovery");
  const query = useRecovery();
  return (
    <Page>
      <PageHead title="Recovery">
        <LastBackup />
      </PageHead>
      <Loaded query={query} what="the recovery">
        {({ recovery }) =>
          recovery === null ? (
            <Notice icon="check" title="This central was never restored">
              <p>
                After a restore from a backup, or when a standby takes over, gateways send again what is missing here. This page
                then shows how far each site is.
              </p>
            </Notice>
          ) : (
            <RestoredLedger recovery={recovery} />
          )
        }
      </Loaded>
    </Page>
  );
}

function RestoredLedger({ recovery }: { readonly recovery: Restored }) {
  const { sites, missed, again, lost } = recovery;
  const isWhole = (recovery.counts["caught-up-with-loss"] ?? 0) === 0;
  return (
    <>
      <section className="card recovery-sum" aria-labelledby="recovery-state">
        <div role="status">
          <h2 id="recovery-state">
            <Icon name={iconOf(recovery)} size={18} /> {headline(recovery)}
          </h2>
        </div>
        {missed > 0 && <RecoveryBar name="All sites" missed={missed} again={again} lost={lost} />}
        <p>
          {missed === 0
            ? isWhole
              ? "So far no gateway has had anything that is missing here."
              : "What is missing here went with epochs that gateways have left since; how much that is is not known."
            : `${plural(missed, "message")} were lost with the old ledger, by the gateways' word: ${formatCount(again)} came again`}
          {missed > 0 && lost > 0 && `, ${formatCount(lost)} never will`}
          {missed > 0 && "."}
        </p>
        <ul className="recovery-counts" aria-label="Sites by state">
          {siteStates
            .filter((state) => (recovery.counts[state] ?? 0) > 0)
            .map((state) => (
              <li key={state}>
                <b>{recovery.counts[state]}</b> <Badge look={siteLooks[state]} small />
              </li>
            ))}
        </ul>
        <dl className="facts">
          <Fact name="Noticed">
            <When at={recovery.beganAt} />
          </Fact>
          <Fact name="Backup of">
            {recovery.backupAt === null ? (
              <span title="A standby took over, or somebody restored by hand">not known</span>
            ) : (
              <span title={describeInstant(recovery.backupAt)}>
                <When at={recovery.backupAt} />
              </span>
            )}
          </Fact>
          <Fact name="Ledger">
            <span className="mono tiny" title={`${recovery.incarnation}, ${recovery.before} before`}>
              {recovery.incarnation.slice(0, 8)}, {recovery.before.slice(0, 8)} before
            </span>
          </Fact>
        </dl>
      </section>
      <NotComing recovery={recovery} />
      <h2 className="recovery-title">Sites</h2>
      {sites.length === 0 ? (
        <p className="quiet">
          This ledger knows no site. Gateways that were enrolled since the backup are refused: enroll them anew.
        </p>
      ) : (
        <ul className="recovery-sites">
          {sites.map((site) => (
            <SiteRecoveryRow key={site.site} site={site} />
          ))}
        </ul>
      )}
    </>
  );
}

function iconOf({ done, counts }: Restored): IconName {
  const isBad = (counts.stuck ?? 0) > 0 || (done && (counts["caught-up-with-loss"] ?? 0) > 0);
  return isBad ? "warning" : done ? "check" : "down";
}

function headline({ done, counts }: Restored): string {
  const [stuck, silent, under] = [counts.stuck ?? 0, counts["not-heard"] ?? 0, counts["catching-up"] ?? 0];
  if (done) return (counts["caught-up-with-loss"] ?? 0) > 0 ? "Caught up, with loss" : "Caught up";
  if (stuck > 0) return `${plural(stuck, "site")} stuck`;
  if (under > 0) return `${plural(under, "site")} catching up`;
  return `${plural(silent, "site")} not heard since`;
}

/** What stands nowhere but here is gone with it: gateways send messages, not what people did. */
function NotComing({ recovery: { lastAuditAt, auditEntries } }: { readonly recovery: Restored }) {
  return (
    <section className="card recovery-people" aria-labelledby="not-coming">
      <h2 id="not-coming">
        <Icon name="person" size={16} /> What no gateway brings back
      </h2>
      <p>
        {lastAuditAt === null ? (
          "This ledger has no audit entry from before: nothing that people did is in it."
        ) : (
          <>
            What people did after{" "}
            <time dateTime={lastAuditAt} title={describeInstant(lastAuditAt)}>
              {new Date(lastAuditAt).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })}
            </time>{" "}
            (audit entry {formatCount(auditEntries)}) is not here. Do it again, where it still holds:
          </>
        )}
      </p>
      <ul>
        <li>
          <b>What was taken away is back:</b> users that were disabled, tokens and keys that were revoked. Look at{" "}
          <Link href="/users">Access</Link> and at the keys of each site first.
        </li>
        <li>
          <b>Sites and keys</b> that came since are refused: enroll those gateways anew. Open enrollment tokens are void.
        </li>
        <li>
          <b>Documents, changes and rollouts</b>: gateways run on with what they have; a site that runs a revision unknown here
          says so below.
        </li>
        <li>
          <b>Secrets</b> that were set since: gateways keep the newer value until it is set here again.
        </li>
      </ul>
    </section>
  );
}

function LastBackup() {
  const { data } = useBackup();
  if (!data) return null;
  const { lastBackup, overdue } = data.answer;
  return (
    <p className="to-the-right recovery-backup">
      {lastBackup === null ? (
        <span className="verify-bad">
          <Icon name="warning" size={14} /> No backup was taken yet: plantgate backup
        </span>
      ) : (
        <span title={overdue ?? lastBackup.file} className={overdue ? "verify-bad" : undefined}>
          {overdue && <Icon name="warning" size={14} />}
          <span>
            {overdue ? "Backup overdue, the last" : "Last good backup"}: <When at={lastBackup.takenAt} />,{" "}
            {formatBytes(lastBackup.bytes)}
            {lastBackup.sealed && ", sealed"}
          </span>
        </span>
      )}
    </p>
  );
}
