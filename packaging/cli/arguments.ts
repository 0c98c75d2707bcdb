import { InvalidArgumentError } from "commander";

/** Judges of single arguments: what is wrong with one ends the command with 2 before anything is done. */

export function parsePort(value: string): string {
  const port = Number(value);
  if (value.trim() === "" || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError("Give a port from 0 to 65535.");
  return value;
}

/** Seconds from 0 to a week. */
export function parseSeconds(value: string): string {
  const seconds = Number(value);
  if (value.trim() === "" || !Number.isInteger(seconds) || seconds < 0 || seconds > 7 * 86_400)
    throw new InvalidArgumentError("Give whole seconds from 0 to 604800.");
  return value;
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
