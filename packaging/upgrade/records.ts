import { z } from "zod";

/** What can be a version, and the name of a folder: nothing that leads elsewhere. */
export const versionName = z.string().regex(/^[0-9][0-9A-Za-z.+~-]{0,63}$/);

/** `manifest.json` of a program tree. */
export const manifest = z.object({
  product: z.literal("plantgate"),
  version: versionName,
  platform: z.string(),
  /** Which roles the tree can run, where it says so. */
  roles: z.array(z.string()).optional(),
  queueFormat: z.int().positive(),
});
export type Manifest = Readonly<z.infer<typeof manifest>>;

/** A word of the service, which root's terminal and records show: it moves no cursor, and is no page. */
const word = z.string().transform((text) => text.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ").slice(0, 128));

/** How a process is, as `/health` tells it without a token. */
export const health = z.object({
  version: word.optional(),
  link: word.optional(),
  connectors: z.array(z.object({ name: word, state: word })).optional(),
});
export type Health = Readonly<z.infer<typeof health>>;

/** `trial.json`: a version is on trial, since `begun`, which also names the trial. One line, as `choose` reads it by patterns. */
export const trial = z.object({
  version: versionName,
  from: versionName,
  /** How often it was started; counted by `choose`. */
  starts: z.int().min(0),
  mostStarts: z.int().positive(),
  begun: z.string().regex(/^[0-9TZ:.-]{20,30}$/),
  watchMs: z.int().positive().default(60_000),
  /** Whether the way back is open: it is not where central's schema moved on. */
  goesBack: z.boolean().default(true),
  /** The package that it came in, in the updater's own folder. */
  package: z
    .string()
    .regex(/^[0-9A-Za-z][0-9A-Za-z.+~_-]*$/)
    .optional(),
  /** How the version before was, as far as the new one has to come up to it. */
  before: z.object({ online: z.boolean(), up: z.array(z.string()).readonly() }).default({ online: false, up: [] }),
});
export type Trial = Readonly<z.infer<typeof trial>>;

/** `last-upgrade.json`: what was decided of the last one. It stands there before it is carried out. */
export const lastUpgrade = z.object({
  version: z.string(),
  from: z.string(),
  outcome: z.enum(["kept", "rolled-back", "refused"]),
  reason: z.string(),
  at: z.string(),
  /** Of the trial that it ends. */
  begun: z.string().optional(),
});
export type LastUpgrade = Readonly<z.infer<typeof lastUpgrade>>;

/** @returns undefined for what is not one of these */
export function parseRecord<Shape extends z.ZodType>(shape: Shape, text: string | undefined): z.infer<Shape> | undefined {
  if (text === undefined) return undefined;
  try {
    return shape.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
