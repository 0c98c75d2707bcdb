import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Annotation, EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { type Ref, useEffect, useImperativeHandle, useRef } from "react";
import type { DocumentProblem } from "../api/configuration.ts";
import { codeTheme } from "../parts/code-theme.ts";
import { schemaCompletion } from "./schema-completion.ts";
import type { JsonSchema } from "./schema-walk.ts";

export interface EditorHandle {
  /** Puts the cursor there, 1-based, and shows it. */
  goTo(line: number, column: number): void;
}

/** A text that was put in, not written. */
const fromOutside = Annotation.define<boolean>();

interface YamlEditorProps {
  readonly text: string;
  readonly label: string;
  readonly describedBy?: string;
  readonly problems?: readonly Marked[];
  readonly schemaOf?: (kind: string) => JsonSchema | undefined;
  /** Absent: to be read only. */
  readonly onChange?: (text: string) => void;
  readonly handle?: Ref<EditorHandle>;
}

type Marked = DocumentProblem & { readonly severity?: "warning" };

/** A text with line numbers, folding and search; for writing also completion by schema and problems where they stand. */
export function YamlEditor({ text, label, describedBy, problems, schemaOf, onChange, handle }: YamlEditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const live = useRef({ onChange, schemaOf });
  live.current = { onChange, schemaOf };
  const writes = onChange !== undefined;

  // biome-ignore lint/correctness/useExhaustiveDependencies: the text is the editor's own once it stands; a new one from outside is put in below
  useEffect(() => {
    const parent = place.current;
    if (!parent) return;
    const made = new EditorView({
      parent,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(),
          foldGutter(),
          drawSelection(),
          search({ top: true }),
          highlightSelectionMatches(),
          bracketMatching(),
          yaml(),
          indentUnit.of("  "),
          EditorView.lineWrapping,
          codeTheme,
          EditorView.contentAttributes.of({ "aria-label": label, ...(describedBy ? { "aria-describedby": describedBy } : {}) }),
          writes ? [writing(), changing(() => live.current)] : [EditorState.readOnly.of(true)],
          keymap.of([...searchKeymap, ...foldKeymap, ...defaultKeymap]),
        ],
      }),
    });
    view.current = made;
    return () => {
      view.current = null;
      made.destroy();
    };
  }, [label, describedBy, writes]);

  useEffect(() => {
    const now = view.current;
    if (!now || now.state.doc.toString() === text) return;
    now.dispatch({ changes: { from: 0, to: now.state.doc.length, insert: text }, annotations: fromOutside.of(true) });
  }, [text]);

  useEffect(() => {
    const now = view.current;
    if (!now || problems === undefined) return;
    now.dispatch(
      setDiagnostics(
        now.state,
        problems.map((problem) => toDiagnostic(now.state, problem)),
      ),
    );
  }, [problems]);

  useImperativeHandle(handle, () => ({
    goTo(line, column) {
      const now = view.current;
      if (!now) return;
      const at = offsetOf(now.state, line, column);
      now.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
      now.focus();
    },
  }));

  return <div ref={place} className="code" data-writes={writes || undefined} />;
}

interface Live {
  readonly onChange?: (text: string) => void;
  readonly schemaOf?: (kind: string) => JsonSchema | undefined;
}

function writing() {
  return [
    history(),
    indentOnInput(),
    closeBrackets(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    lintGutter(),
    // Tab indents; Escape, then Tab, leaves the editor (the page says so beneath it)
    keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...historyKeymap, indentWithTab]),
  ];
}

function changing(live: () => Live) {
  return [
    autocompletion({ override: [schemaCompletion((kind) => live().schemaOf?.(kind))], icons: false }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged && !update.transactions.some((one) => one.annotation(fromOutside)))
        live().onChange?.(update.state.doc.toString());
    }),
  ];
}

/** To the end of the word or value at the place, at least one character: a mark that is seen. */
function toDiagnostic(state: EditorState, problem: Marked): Diagnostic {
  const from = offsetOf(state, problem.line, problem.column);
  const line = state.doc.lineAt(from);
  const word = /^[^\s,\]}:]+/.exec(state.sliceDoc(from, line.to))?.[0].length ?? 1;
  const to = Math.min(line.to, from + word);
  const begin = to === from ? Math.max(line.from, from - 1) : from;
  return {
    from: begin,
    to,
    severity: problem.severity ?? "error",
    message: problem.path === "" ? problem.message : `${problem.path}: ${problem.message}`,
  };
}

function offsetOf(state: EditorState, line: number, column: number): number {
  const at = state.doc.line(Math.min(Math.max(1, line), state.doc.lines));
  return Math.min(at.to, at.from + Math.max(0, column - 1));
}
