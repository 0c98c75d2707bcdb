import { environmentOrder } from "../../change/environments.ts";
import { Icon, type IconName } from "./icon.tsx";

export type Tone = "good" | "busy" | "change" | "warn" | "bad" | "lost" | "idle";
export interface Look {
  readonly tone: Tone;
  readonly icon: IconName;
  readonly word: string;
  readonly meaning?: string;
}

/** Colour, icon and word say the same, so that none of them is needed alone. */
export function Badge({ look, small = false }: { readonly look: Look; readonly small?: boolean }) {
  return (
    <span className="badge" data-tone={look.tone} data-small={small || undefined} title={look.meaning}>
      <Icon name={look.icon} size={small ? 12 : 14} />
      {look.word}
    </span>
  );
}

/** dev, test, prod, or another one; the colour only underlines the word. */
export function Environment({ name }: { readonly name: string }) {
  const known = environmentOrder.includes(name) ? name : "other";
  return (
    <span className="environment" data-environment={known} title={name === "" ? "Sites without an environment" : undefined}>
      {name === "" ? "none" : name}
    </span>
  );
}
