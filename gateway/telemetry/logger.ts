import { type DestinationStream, pino } from "pino";

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
export type LogFields = { readonly event: string } & Record<string, unknown>;

export function openLogger(options: { level: string; site: string; destination?: DestinationStream }): Logger {
  const settings = {
    level: options.level,
    base: { site: options.site },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: ["password", "secret", "apiKey", "authorization", "*.password", "*.secret", "*.apiKey", "*.authorization"],
      censor: "[redacted]",
    },
  };
  return options.destination ? pino(settings, options.destination) : pino(settings);
}
