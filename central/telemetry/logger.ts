import { type DestinationStream, pino } from "pino";

/** Structured log: a fixed sentence, a name `component.noun.pastVerb` in `event`, values as fields with units. Secrets nowhere. */
export interface Logger {
  debug(fields: LogFields, sentence: string): void;
  info(fields: LogFields, sentence: string): void;
  warn(fields: LogFields, sentence: string): void;
  error(fields: LogFields, sentence: string): void;
}
export type LogFields = { readonly event: string } & Record<string, unknown>;

export function openLogger(options: { level: string; destination?: DestinationStream }): Logger {
  const settings = {
    level: options.level,
    base: { service: "central" },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: ["token", "authorization", "cookie", "*.token", "*.authorization", "*.cookie"], censor: "[redacted]" },
  };
  return options.destination ? pino(settings, options.destination) : pino(settings);
}
