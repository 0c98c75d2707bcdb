import { parseArgs } from "node:util";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { type CentralSettings, centralSettings } from "./schema.ts";

export const usage =
  "central --data-dir <folder> [--host 127.0.0.1] [--port 7400] [--lease-seconds 15] [--console-dir <folder>] [--log-level info]";

/**
 * Settings of a command line.
 * @throws PlantgateError USAGE with every problem at once
 */
export function loadSettings(argv: readonly string[]): CentralSettings {
  const parsed = centralSettings.safeParse(fromArguments(argv));
  if (!parsed.success) throw new PlantgateError("USAGE", z.prettifyError(parsed.error));
  return Object.freeze(parsed.data);
}

function fromArguments(argv: readonly string[]): Record<string, unknown> {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { "data-dir": text, host: text, port: text, "lease-seconds": text, "console-dir": text, "log-level": text },
    });
    return {
      dataDir: values["data-dir"],
      host: values.host,
      port: numberOf(values.port),
      leaseSeconds: numberOf(values["lease-seconds"]),
      consoleDir: values["console-dir"],
      logLevel: values["log-level"],
    };
  } catch (cause) {
    throw new PlantgateError("USAGE", "the command line cannot be read", { cause });
  }
}

function numberOf(value: string | undefined): number | string | undefined {
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : value;
}
