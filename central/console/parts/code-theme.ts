import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

/** The console's own colours, as variables of its style sheet: one theme for dark and light. */
export const codeTheme: Extension = [
  EditorView.theme({
    "&": { backgroundColor: "var(--card)", color: "var(--ink)", fontSize: "0.8125rem" },
    "&.cm-focused": { outline: "none" },
    ".cm-scroller": { fontFamily: "var(--mantine-font-family-monospace)", lineHeight: "1.55" },
    ".cm-content": { caretColor: "var(--ink)", padding: "8px 0" },
    ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--ink)" },
    ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--ink-faint)", borderRight: "1px solid var(--line)" },
    ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 6%, transparent)" },
    ".cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 12%, transparent)", color: "var(--ink)" },
    "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground, .cm-content ::selection":
      {
        backgroundColor: "color-mix(in srgb, var(--accent) 26%, transparent)",
      },
    ".cm-selectionMatch": { backgroundColor: "color-mix(in srgb, var(--accent) 14%, transparent)" },
    "&.cm-focused .cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--accent) 22%, transparent)" },
    ".cm-tooltip": {
      backgroundColor: "var(--card)",
      color: "var(--ink)",
      border: "1px solid var(--line-strong)",
      borderRadius: "6px",
      boxShadow: "0 6px 18px rgb(0 0 0 / 18%)",
    },
    ".cm-tooltip-autocomplete > ul > li": { padding: "2px 8px" },
    ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--card)" },
    ".cm-completionDetail": { fontStyle: "normal", opacity: "0.75", marginLeft: "10px" },
    ".cm-completionInfo": { padding: "6px 10px", maxWidth: "320px" },
    ".cm-diagnostic": { padding: "5px 10px" },
    ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
    ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--ink)" },
    ".cm-panels input, .cm-panels button": { color: "var(--ink)" },
    ".cm-foldPlaceholder, .cm-collapsedLines": {
      background: "var(--sunken)",
      color: "var(--ink-soft)",
      border: "1px solid var(--line)",
    },
  }),
  syntaxHighlighting(
    HighlightStyle.define([
      { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--hue-cyan)" },
      { tag: [tags.string, tags.special(tags.string)], color: "var(--hue-green)" },
      { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--hue-violet)" },
      { tag: [tags.comment, tags.lineComment], color: "var(--ink-faint)", fontStyle: "italic" },
      { tag: [tags.punctuation, tags.separator, tags.brace, tags.squareBracket], color: "var(--ink-soft)" },
      { tag: tags.meta, color: "var(--hue-slate)" },
    ]),
  ),
];
