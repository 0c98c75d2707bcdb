import { InvalidArgumentError } from "commander";
import { durationMs, durationPattern } from "../../protocol/index.ts";

/** Judges of single arguments: what is wrong with one ends the command with 2 before anything is done. */

export function parsePort(value: string): string {
  const port = Number(value);
  if (value.trim() === "" || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError("Give a port from 0 to 65535.");
  return value;
}

/** Whole seconds within the limits of a setting. */
export function parseSeconds(least: number, most: number): (value: string) => string {
  return (value) => {
    const seconds = Number(value);
    if (value.trim() === "" || !Number.isInteger(seconds) || seconds < least || seconds > most)
      throw new InvalidArgumentError(`Give whole seconds from ${least} to ${most}.`);
    return value;
  };
}

/** So many days, or 0. */
export function parseDays(value: string): string {
  const days = Number(value);
  if (value.trim() === "" || !Number.isInteger(days) || days < 0 || days > 365)
    throw new InvalidArgumentError("Give whole days from 0 to 365.");
  return value;
}

/** How many messages of a site may wait. */
export function parseBacklog(value: string): string {
  const messages = Number(value);
  if (!Number.isSafeInteger(messages) || messages < 10_000)
    throw new InvalidArgumentError("Give a whole number of 10000 or more.");
  return value;
}

export function parseMebibytes(least: number, most: number): (value: string) => string {
  return (value) => {
    if (!/^\d{1,9}$/.test(value) || Number(value) < least || Number(value) > most)
      throw new InvalidArgumentError(`Give a whole number of MiB from ${least} to ${most}.`);
    return value;
  };
}

export function parseLimit(value: string): number {
  const limit = Number(value);
  if (!Number.isSafeInteger(limit) || limit < 1) throw new InvalidArgumentError("Give a whole number of 1 or more.");
  return limit;
}

export function parseAddress(value: string): string {
  if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol))
    throw new InvalidArgumentError("Give an address such as https://central.example.com.");
  return value;
}

/** A duration such as `24h`, in seconds. */
export function parseLife(value: string): number {
  if (!durationPattern.test(value)) throw new InvalidArgumentError("Give a duration such as 30m or 24h.");
  return Math.floor(durationMs(value) / 1000);
}
