import { useState } from "react";
import { Link } from "wouter";
import type { ChangeDiff, ChangeView } from "../../http/api/changes.ts";
import { documentPath, editPath } from "../documents/paths.ts";
import { Badge, type Look } from "../parts/badge.tsx";
import { Empty } from "../parts/page.tsx";
import { TextDiff } from "../parts/text-diff.tsx";
import { DropDialog } from "./drop-dialog.tsx";

type Changed = ChangeDiff["documents"][number];

/** Many side by side at once are slow to draw, and read one after another anyway. */
const openAtFirst = 6;

/** Each document side by side with what is in force. */
export function ChangedDocuments({ change, documents }: { readonly change: ChangeView; readonly documents: readonly Changed[] }) {
  if (documents.length === 0) {
    return (
      <Empty>
        <p>
          The change holds no document yet. <Link href={`/documents/new?change=${change.number}`}>Write a new one</Link>, or edit
          one and save it into this change.
        </p>
      </Empty>
    );
  }
  return (
    <div className="stack">
      {documents.map((document, index) => (
        <One key={`${document.kind}/${document.name}`} change={change} document={document} begins={index < openAtFirst} />
      ))}
    </div>
  );
}

interface OneProps {
  readonly change: ChangeView;
  readonly document: Changed;
  /** Whether it is shown at first. */
  readonly begins: boolean;
}

function One({ change, document, begins }: OneProps) {
  const [open, setOpen] = useState(begins);
  const { kind, name, before, after } = document;
  const [dropping, setDropping] = useState(false);
  const editable = change.state === "draft" && change.may.edit?.allowed === true;
  return (
    <section aria-label={`${kind} ${name}`}>
      <div className="section-head">
        <h2>
          <span className="kind">{kind}</span>
          <Link href={documentPath(kind, name, after?.revision)}>{name}</Link>
        </h2>
        <Badge look={lookOf(document)} small />
        <span className="quiet">
          {before ? `in force: revision ${before.revision}` : "nothing in force"}
          {after && `; here: revision ${after.revision}`}
        </span>
        <span className="to-the-right section-acts">
          {editable && after && <Link href={editPath(kind, name, { change: change.number })}>Edit</Link>}
          {editable && (
            <button type="button" className="link" onClick={() => setDropping(true)}>
              Take out
            </button>
          )}
          <button type="button" className="link" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Hide" : "Show"}
          </button>
        </span>
      </div>
      {dropping && <DropDialog change={change} kind={kind} name={name} onClose={() => setDropping(false)} />}
      {open && (
        <TextDiff
          before={before?.text ?? ""}
          after={after?.text ?? ""}
          beforeLabel={before ? `In force, revision ${before.revision}` : "Nothing before"}
          afterLabel={after ? `With this change, revision ${after.revision}` : "Removed"}
        />
      )}
    </section>
  );
}

function lookOf({ before, after }: Changed): Look {
  if (!before) return { tone: "good", icon: "plus", word: "new" };
  if (!after) return { tone: "bad", icon: "minus", word: "removed" };
  return before.text === after.text
    ? { tone: "idle", icon: "check", word: "the same" }
    : { tone: "change", icon: "pen", word: "changed" };
}
