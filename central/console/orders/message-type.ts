import type { CSSProperties } from "react";

// A closed set of hues, told apart in both schemes; each is a CSS variable of orders.css.
const hues: Readonly<Record<string, string>> = {
  "production-order.released": "indigo",
  "pick.confirmed": "teal",
  "shortage.reported": "orange",
  "material.consumed": "cyan",
  "finished-goods.confirmed": "green",
  "scrap.reported": "red",
  "schedule.revised": "violet",
  "equipment.sampled": "slate",
  "sampling.interrupted": "amber",
  "delivery.completed": "slate",
};
const others = ["pink", "lime", "amber", "slate"] as const;

/** `mfg.pick.confirmed.v1` as people say it: `pick confirmed`. */
export function typeWords(type: string): string {
  return shortType(type).replaceAll(/[.-]/g, " ");
}

/** The thread's colour of a message type, to be used as `var(--thread)`. */
export function threadStyle(type: string): CSSProperties {
  const short = shortType(type);
  const hue = hues[short] ?? others[[...short].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % others.length];
  return { "--thread": `var(--hue-${hue})` } as CSSProperties;
}

function shortType(type: string): string {
  return type.replace(/^mfg\./, "").replace(/\.v\d+$/, "");
}
