import { Button } from "@mantine/core";
import { Link, useLocation } from "wouter";
import type { DocumentHistory } from "../../http/api/documents.ts";
import { useDocument, useDocumentRevision } from "../api/configuration.ts";
import { useHasRole } from "../api/session.ts";
import { Environment } from "../parts/badge.tsx";
import { NarrowChoice } from "../parts/narrow.tsx";
import { Loaded, Page, PageHead } from "../parts/page.tsx";
import { TextDiff } from "../parts/text-diff.tsx";
import { useTitle } from "../parts/title.ts";
import { useUrlState } from "../parts/url-state.ts";
import { When } from "../parts/when.tsx";
import { InForce } from "./documents-page.tsx";
import { editPath } from "./paths.ts";
import { YamlEditor } from "./yaml-editor.tsx";

/** One document: who owns it and why it is there, its revisions, the text of one, and what two of them do not share. */
export function DocumentPage({ kind, name }: { readonly kind: string; readonly name: string }) {
  useTitle(`${kind} ${name}`);
  const query = useDocument(kind, name);
  return (
    <Page>
      <Loaded query={query} what={`${kind} ${name}`} whole>
        {(history) => <Shown history={history} />}
      </Loaded>
    </Page>
  );
}

function Shown({ history }: { readonly history: DocumentHistory }) {
  const [, navigate] = useLocation();
  const [asked, setAsked] = useUrlState("revision");
  const [compared, setCompared] = useUrlState("compare");
  const mayWrite = useHasRole("engineer");
  const revision = Number(asked) || history.revision;
  const revisions = [...history.revisions].sort((a, b) => b.revision - a.revision);
  return (
    <>
      <PageHead title={history.name} above={<Link href="/documents">Documents</Link>}>
        <span className="kind">{history.kind}</span>
        <InForce environments={history.environments} newest={history.revision} />
        {mayWrite && (
          <Button
            className="to-the-right"
            onClick={() => navigate(editPath(history.kind, history.name, revision === history.revision ? {} : { revision }))}
          >
            {revision === history.revision ? "Edit" : `Edit from revision ${revision}`}
          </Button>
        )}
      </PageHead>
      <dl className="facts document-facts">
        <div>
          <dt>Owner</dt>
          <dd>{history.owner}</dd>
        </div>
        <div>
          <dt>Purpose</dt>
          <dd>{history.purpose}</dd>
        </div>
        {Object.keys(history.labels).length > 0 && (
          <div>
            <dt>Labels</dt>
            <dd>
              {Object.entries(history.labels)
                .map(([key, value]) => `${key}=${value}`)
                .join(", ")}
            </dd>
          </div>
        )}
      </dl>
      <div className="split document-split">
        <section aria-label="Revisions">
          <ol className="revision-list card">
            {revisions.map((entry) => (
              <li key={entry.revision} data-current={entry.revision === revision || undefined}>
                <button
                  type="button"
                  aria-current={entry.revision === revision ? "true" : undefined}
                  onClick={() => setAsked(entry.revision === history.revision ? "" : String(entry.revision))}
                >
                  <span>
                    <b>Revision {entry.revision}</b>{" "}
                    {Object.entries(history.environments)
                      .filter(([, inForce]) => inForce === entry.revision)
                      .map(([environment]) => (
                        <Environment key={environment} name={environment} />
                      ))}
                  </span>
                  <span className="tiny">
                    <When at={entry.createdAt} /> by {entry.createdBy}
                  </span>
                </button>
                {entry.change > 0 && (
                  <Link href={`/changes/${entry.change}`} className="tiny">
                    Change {entry.change}
                  </Link>
                )}
              </li>
            ))}
          </ol>
        </section>
        <section aria-label={`Text of revision ${revision}`}>
          <div className="filters">
            <h2>Revision {revision}</h2>
            {revisions.length > 1 && (
              <NarrowChoice
                name="Compare with"
                choices={revisions
                  .filter((entry) => entry.revision !== revision)
                  .map((entry) => ({ value: String(entry.revision), label: `Revision ${entry.revision}` }))}
                value={Number(compared) === revision ? "" : compared}
                onChange={setCompared}
              />
            )}
          </div>
          <Text history={history} revision={revision} compared={Number(compared) === revision ? 0 : Number(compared)} />
        </section>
      </div>
    </>
  );
}

interface TextProps {
  readonly history: DocumentHistory;
  readonly revision: number;
  readonly compared: number;
}

function Text({ history, revision, compared }: TextProps) {
  const shown = useDocumentRevision(history.kind, history.name, revision);
  const other = useDocumentRevision(history.kind, history.name, compared);
  const [older, newer] = compared > revision ? [shown, other] : [other, shown];
  return (
    <Loaded query={shown} what={`revision ${revision}`} rows={2}>
      {(answer) =>
        compared > 0 ? (
          <Loaded query={other} what={`revision ${compared}`} rows={2}>
            {() => (
              <TextDiff
                before={older.data?.answer.text ?? ""}
                after={newer.data?.answer.text ?? ""}
                beforeLabel={`Revision ${Math.min(revision, compared)}`}
                afterLabel={`Revision ${Math.max(revision, compared)}`}
              />
            )}
          </Loaded>
        ) : (
          <>
            <div className="card code-card">
              <YamlEditor text={answer.text} label={`${history.kind} ${history.name}, revision ${revision}, read only`} />
            </div>
            {Object.entries(answer.attachments).map(([file, text]) => (
              <details key={file} className="attachment card">
                <summary className="mono">{file}</summary>
                <pre>{text}</pre>
              </details>
            ))}
            <p className="tiny below mono digest" title={answer.digest}>
              {answer.digest}
            </p>
          </>
        )
      }
    </Loaded>
  );
}
