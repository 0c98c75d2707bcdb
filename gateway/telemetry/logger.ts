import { type DestinationStream, type LoggerOptions, type Logger as PinoLogger, pino } from "pino";

/**
 * Structured log: a fixed sentence, a name `component.noun.pastVerb` in `event`, values as fields with units.
 * Payloads at debug at most; secrets nowhere.
 */
export interface Logger {
  debug(fields: LogFields, sentence: string): void;
  info(fields: LogFields, sentence: string): void;
  warn(fields: LogFields, sentence: string): void;
  error(fields: LogFields, sentence: string): void;
  child(bindings: Record<string, unknown>): Logger;
}
export type LogLevel = "debug" | "info" | "warn" | "error";

/** A logger whose level, and that of all its children, can be changed while they are in use. */
export interface RootLogger extends Logger {
  /** Undefined: the level that it was opened with. */
  setLevel(level: LogLevel | undefined): void;
}
export type LogFields = { readonly event: string } & Record<string, unknown>;

export function openLogger(options: { level: string; site: string; destination?: DestinationStream }): RootLogger {
  const children = new Set<WeakRef<{ level: string }>>();
  const settings: LoggerOptions = {
    level: options.level,
    // a child keeps the level that it was made with, whatever becomes of its parent's
    onChild: (child) => {
      for (const reference of children) if (!reference.deref()) children.delete(reference);
      children.add(new WeakRef(child));
    },
    base: { site: options.site },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: ["password", "secret", "apiKey", "authorization", "*.password", "*.secret", "*.apiKey", "*.authorization"],
      censor: "[redacted]",
    },
  };
  const root: PinoLogger = options.destination ? pino(settings, options.destination) : pino(settings);
  return Object.assign(root, {
    setLevel(next: LogLevel | undefined): void {
      const level = next ?? options.level;
      root.level = level;
      for (const reference of children) {
        const child = reference.deref();
        if (child) child.level = level;
      }
    },
  });
}
