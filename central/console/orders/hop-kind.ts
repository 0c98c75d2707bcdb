import type { Hop } from "../../http/views.ts";

/** The kind as a word after which a time may stand. */
export const kindWords: Readonly<Record<Hop["kind"], string>> = {
  happened: "happened",
  recorded: "recorded",
  central: "at central",
  routed: "routed",
  received: "received",
  delivered: "delivered",
  accepted: "accepted",
  refused: "refused",
  unknown: "outcome unknown",
};

/** The mark on the dot; none: a plain dot. `hollow`: outside Plantgate, before anything is on disk. */
export const kindMarks: Readonly<Record<Hop["kind"], "hollow" | "dot" | "check" | "cross" | "question">> = {
  happened: "hollow",
  recorded: "dot",
  central: "dot",
  routed: "dot",
  received: "dot",
  delivered: "check",
  accepted: "check",
  refused: "cross",
  unknown: "question",
};
