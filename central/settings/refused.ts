import type { z } from "zod";
import { centralSettings } from "./schema.ts";

/** Which of these settings this version does not take: their names are not known, or their values are none. */
export function refusedSettings(settings: Readonly<Record<string, unknown>>): string[] {
  const known: Readonly<Record<string, z.ZodType>> = centralSettings.shape;
  return Object.entries(settings)
    .filter(([name, value]) => value !== undefined && known[name]?.safeParse(value).success !== true)
    .map(([name]) => name);
}
