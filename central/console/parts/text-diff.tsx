import { yaml } from "@codemirror/lang-yaml";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { useMediaQuery } from "@mantine/hooks";
import { useEffect, useRef } from "react";
import { codeTheme } from "./code-theme.ts";

interface TextDiffProps {
  readonly before: string;
  readonly after: string;
  readonly beforeLabel: string;
  readonly afterLabel: string;
}

const unchanged = { margin: 3, minSize: 6 };

/** Two texts side by side, on a narrow screen one in the other; long parts that are the same are folded. */
export function TextDiff({ before, after, beforeLabel, afterLabel }: TextDiffProps) {
  const place = useRef<HTMLDivElement>(null);
  const narrow = useMediaQuery("(max-width: 900px)", false, { getInitialValueInEffect: false });
  useEffect(() => {
    const parent = place.current;
    if (!parent) return;
    const shared = (label: string) => [
      lineNumbers(),
      yaml(),
      EditorView.lineWrapping,
      EditorState.readOnly.of(true),
      EditorView.contentAttributes.of({ "aria-label": `${label}, read only` }),
      codeTheme,
    ];
    if (narrow) {
      const made = new EditorView({
        parent,
        doc: after,
        extensions: [
          ...shared(`${beforeLabel} and ${afterLabel}`),
          unifiedMergeView({ original: before, mergeControls: false, collapseUnchanged: unchanged }),
        ],
      });
      return () => made.destroy();
    }
    const made = new MergeView({
      parent,
      a: { doc: before, extensions: shared(beforeLabel) },
      b: { doc: after, extensions: shared(afterLabel) },
      collapseUnchanged: unchanged,
      highlightChanges: true,
      gutter: true,
    });
    return () => made.destroy();
  }, [before, after, beforeLabel, afterLabel, narrow]);
  return (
    <div className="card text-diff">
      <div className="text-diff-heads" aria-hidden="true">
        <span>{beforeLabel}</span>
        <span>{afterLabel}</span>
      </div>
      <div ref={place} />
    </div>
  );
}
