import type { z } from "zod";
import type { ChangeView } from "../../../central/http/api/changes.ts";
import type { validateAnswer } from "../../../central/http/api/documents.ts";

/** A made-up company's configuration, answered by the shapes of central/http/api: each answer is parsed by its shape before it leaves. */
export interface ConfigurationWorld {
  user: string;
  /** None: no session. */
  signedIn: boolean;
  change: ChangeView;
  problems: z.input<typeof validateAnswer>["problems"];
  /** What a validation finds in the text. */
  judge: (text: string) => z.input<typeof validateAnswer>["problems"];
  readonly sent: { readonly method: string; readonly path: string; readonly body: unknown }[];
  /** Instead of the usual answer. */
  readonly instead: Map<string, () => Reply>;
}
export interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the console asks of a world; `parts`: of the path, behind `/v1`. */
export interface Asked {
  readonly world: ConfigurationWorld;
  readonly method: string;
  readonly path: string;
  readonly parts: readonly string[];
  readonly body: unknown;
}

export function ok<T>(shape: z.ZodType<T>, value: unknown): Reply {
  return { status: 200, body: shape.parse(value) };
}

export const digest = "9f1c2b7e5a604d38c1b9aa07d2f1e6c43b58d9017ee2c3a45f60b18d7c92e041";
