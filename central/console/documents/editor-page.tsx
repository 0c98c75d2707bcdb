import { Button } from "@mantine/core";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { environmentOrder } from "../../change/environments.ts";
import type { DocumentKind } from "../../http/api/common.ts";
import { type SourceFile, useChange, useDocument, useDocumentRevision, useSchema } from "../api/configuration.ts";
import { Icon } from "../parts/icon.tsx";
import { NarrowChoice } from "../parts/narrow.tsx";
import { Loaded, Page, PageHead } from "../parts/page.tsx";
import { useTitle } from "../parts/title.ts";
import { useUrlState } from "../parts/url-state.ts";
import { useDraft } from "./drafts.ts";
import { kinds, skeletons } from "./kinds.ts";
import { others } from "./others.ts";
import { documentPath } from "./paths.ts";
import { Problems } from "./problems.tsx";
import { SaveDialog } from "./save-dialog.tsx";
import { type JsonSchema, withRenderedParts } from "./schema-walk.ts";
import { useValidation, type Validation } from "./use-validation.ts";
import { type EditorHandle, YamlEditor } from "./yaml-editor.tsx";

/** Writing a document: a new one from a skeleton, one in its newest revision, or one as a draft change holds it. */
export function EditorPage({ kind, name }: { readonly kind?: string; readonly name?: string }) {
  useTitle(name === undefined ? "New document" : `Edit ${name}`);
  const [change] = useUrlState("change");
  const [revision] = useUrlState("revision");
  if (kind === undefined || name === undefined) return <NewDocument />;
  return Number(change) > 0 ? (
    <FromChange key={change} kind={kind} name={name} change={Number(change)} />
  ) : (
    <FromRevision key={revision} kind={kind} name={name} />
  );
}

function NewDocument() {
  const [asked] = useUrlState("kind");
  const [change] = useUrlState("change");
  const kind = kinds.find((known) => known === asked) ?? "Template";
  const begun = useMemo(() => [{ name: `${kind.toLowerCase()}.yaml`, text: skeletons[kind] }], [kind]);
  return (
    <Page>
      <PageHead title={`New ${kind.toLowerCase()}`} above={<Link href="/documents">Documents</Link>} />
      <Editor key={kind} kind={kind} draft={`new ${kind}`} origin={null} files={begun} change={Number(change) || null} />
    </Page>
  );
}

function FromRevision({ kind, name }: { readonly kind: string; readonly name: string }) {
  const [asked] = useUrlState("revision");
  const history = useDocument(kind, name);
  // fixed when the page opens: somebody else's newer revision does not pull the text away from under one's hands
  const [begun, setBegun] = useState<number | undefined>(Number(asked) || undefined);
  const newest = history.data?.answer.revision;
  if (begun === undefined && newest !== undefined) setBegun(newest);
  const revision = useDocumentRevision(kind, name, begun);
  const held = revision.data?.answer;
  const files = useMemo(() => held && toFiles(kind, name, held.text, held.attachments), [kind, name, held]);
  return (
    <Page>
      <PageHead title={name} above={<Link href={documentPath(kind, name)}>{`${kind} ${name}`}</Link>}>
        {begun !== undefined && <span className="quiet">from revision {begun}</span>}
        {begun !== undefined && newest !== undefined && newest > begun && asked === "" && (
          <p className="warning-line" role="alert">
            Meanwhile there is revision {newest}. <Link href={documentPath(kind, name)}>Look at it</Link> before you save.
          </p>
        )}
      </PageHead>
      <Loaded query={revision} what={`${kind} ${name}`} rows={2}>
        {() =>
          files && (
            <Editor
              kind={toKind(kind)}
              draft={`${kind} ${name} ${begun}`}
              origin={`${kind}/${name}`}
              files={files}
              change={null}
            />
          )
        }
      </Loaded>
    </Page>
  );
}

/** As the draft holds it; files that it names come from its stored revision. */
function FromChange({ kind, name, change }: { readonly kind: string; readonly name: string; readonly change: number }) {
  const query = useChange(change);
  const held = query.data?.answer.documents.find((document) => document.kind === kind && document.name === name);
  const revision = useDocumentRevision(kind, name, held?.revision);
  const [begun, setBegun] = useState<readonly SourceFile[] | undefined>(undefined);
  if (begun === undefined && held && revision.data) setBegun(toFiles(kind, name, held.text, revision.data.answer.attachments));
  return (
    <Page>
      <PageHead title={name} above={<Link href={`/changes/${change}`}>Change {change}</Link>}>
        <span className="quiet">as the draft holds it</span>
      </PageHead>
      <Loaded query={query} what={`change ${change}`} rows={2}>
        {() =>
          begun ? (
            <Editor
              kind={toKind(kind)}
              draft={`change ${change} ${kind} ${name}`}
              origin={`${kind}/${name}`}
              files={begun}
              change={change}
            />
          ) : (
            <Loaded query={revision} what={`${kind} ${name}`} rows={2}>
              {() => <p className="quiet">The change holds no such document.</p>}
            </Loaded>
          )
        }
      </Loaded>
    </Page>
  );
}

interface EditorProps {
  readonly kind: DocumentKind;
  /** What the text is of, so that it is found again. */
  readonly draft: string;
  /** `Template/assembly-plant`, where it is there already. */
  readonly origin: string | null;
  readonly files: readonly SourceFile[];
  /** The draft that it is saved into, where that is known already. */
  readonly change: number | null;
}

function Editor({ kind, draft, origin, files: begun, change }: EditorProps) {
  const [, navigate] = useLocation();
  const { files, base, changed, write: writeFile, discard } = useDraft(draft, begun);
  const [shown, setShown] = useState(0);
  const [environment, setEnvironment] = useUrlState("environment");
  const [saving, setSaving] = useState(false);
  const editor = useRef<EditorHandle>(null);
  const goal = useRef<{ readonly line: number; readonly column: number } | null>(null);
  const held = useChange(change ?? 0, change !== null).data?.answer;
  // together with what else the draft carries: a site may name the template beside it
  const judged = useMemo(() => (held ? [...files, ...others(held, files, origin)] : files), [held, files, origin]);
  const validation = useValidation(judged, held?.environment ?? environment);
  const schemaOf = useSchemas(kind);
  const file = files[shown] ?? files[0];
  const problems = useMemo(
    () =>
      markedBy(validation).filter(
        (problem) => problem.file === file?.name || (shown === 0 && !files.some(({ name }) => name === problem.file)),
      ),
    [validation, file?.name, files, shown],
  );
  const write = useCallback((text: string) => writeFile(shown, text), [writeFile, shown]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once the file of the problem is the one that is shown
  useEffect(() => {
    if (!goal.current) return;
    editor.current?.goTo(goal.current.line, goal.current.column);
    goal.current = null;
  }, [shown]);
  return (
    <>
      <div className="filters editor-tools">
        {held === undefined && (
          <NarrowChoice
            name="Judge together with what is in force in"
            hint="Judge for environment"
            choices={environmentOrder}
            value={environment}
            onChange={setEnvironment}
          />
        )}
        <span className="to-the-right editor-save">
          {changed && (
            <span className="quiet">
              not saved{" "}
              <button type="button" className="link" onClick={discard}>
                Discard
              </button>
            </span>
          )}
          <Button onClick={() => setSaving(true)}>Save into a change</Button>
        </span>
      </div>
      {files.length > 1 && (
        <fieldset className="file-tabs" aria-label="Files">
          {files.map(({ name }, index) => (
            <button
              key={name}
              type="button"
              aria-pressed={index === shown}
              className="file-tab mono"
              onClick={() => setShown(index)}
            >
              <Icon name="file" size={12} /> {name}
              {validation.problems.some((problem) => problem.file === name) && <span className="file-tab-bad"> (problems)</span>}
            </button>
          ))}
        </fieldset>
      )}
      <div className="card code-card editor-card">
        <YamlEditor
          key={file?.name}
          handle={editor}
          text={file?.text ?? ""}
          label={`Text of ${file?.name ?? kind}`}
          describedBy="editor-keys"
          problems={problems}
          schemaOf={schemaOf}
          onChange={write}
        />
      </div>
      <p id="editor-keys" className="tiny below">
        <kbd>Ctrl</kbd>+<kbd>Space</kbd> completes, <kbd>Tab</kbd> indents; <kbd>Escape</kbd>, then <kbd>Tab</kbd>, leaves the
        editor. <kbd>F8</kbd> goes to the next problem, <kbd>Ctrl</kbd>+<kbd>F</kbd> searches.
      </p>
      <Problems
        validation={validation}
        onGo={(problem) => {
          const at = files.findIndex(({ name }) => name === problem.file);
          if (at < 0 || at === shown) editor.current?.goTo(problem.line, problem.column);
          else {
            goal.current = problem;
            setShown(at);
          }
        }}
      />
      <SaveDialog
        opened={saving}
        files={files}
        base={base}
        change={change}
        environment={environment}
        origin={origin}
        problems={validation.problems.length}
        onClose={() => setSaving(false)}
        onSaved={(number) => {
          discard();
          navigate(`/changes/${number}`);
        }}
      />
    </>
  );
}

function useSchemas(kind: DocumentKind): (kind: string) => JsonSchema | undefined {
  const own = useSchema(kind.toLowerCase());
  const bundle = useSchema("bundle");
  const [schema, rendered] = [own.data?.answer as JsonSchema | undefined, bundle.data?.answer as JsonSchema | undefined];
  const whole = useMemo(
    () => schema && (kind === "Template" ? withRenderedParts(schema, rendered) : schema),
    [kind, schema, rendered],
  );
  return useCallback((asked) => (asked === kind || asked === "" ? whole : undefined), [kind, whole]);
}

function toKind(kind: string): DocumentKind {
  return kinds.find((known) => known === kind) ?? "Template";
}

function toFiles(kind: string, name: string, text: string, attachments: Readonly<Record<string, string>>): SourceFile[] {
  return [
    { name: `${kind.toLowerCase()}-${name}.yaml`, text },
    ...Object.entries(attachments).map(([file, content]) => ({ name: file, text: content })),
  ];
}

/** What the text shows where it stands. */
function markedBy(validation: Validation) {
  const warnings = validation.kind === "checked" ? (validation.warnings ?? []) : [];
  return [...validation.problems, ...warnings.map((warning) => ({ ...warning, severity: "warning" as const }))];
}
