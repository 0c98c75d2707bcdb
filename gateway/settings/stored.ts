import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { PlantgateError, parseJson } from "../../protocol/index.ts";
import { writeFlushed } from "../write-flushed.ts";
import { gatewaySettings } from "./schema.ts";

const { site, centralUrl, centralPin, proxy } = gatewaySettings.shape;
/** What enrollment wrote into the data folder, so that a gateway starts with nothing but the folder's name. A newer version may have written more. */
const stored = z.object({
  site,
  centralUrl,
  centralPin,
  proxy,
  centralCa: z.string().optional().meta({ description: "File in the data folder with certificates (PEM) of a private CA." }),
});
export interface StoredSettings {
  readonly site: string;
  readonly centralUrl: string;
  readonly centralCaFile?: string | undefined;
  readonly centralPin?: string | undefined;
  readonly proxy?: string | undefined;
}

const caFile = "central-ca.pem";

/** @throws PlantgateError CONFIG_INVALID for a file that is not understood */
export function readStored(dataDir: string): StoredSettings | undefined {
  const file = join(dataDir, "gateway.json");
  if (!existsSync(file)) return undefined;
  const parsed = stored.safeParse(parseJson(readFileSync(file, "utf8")));
  if (!parsed.success)
    throw new PlantgateError(
      "CONFIG_INVALID",
      `${file} is not understood; enroll the gateway again, or give it --site, --central and --central-key`,
    );
  const { centralCa, ...rest } = parsed.data;
  return centralCa === undefined ? rest : { ...rest, centralCaFile: join(dataDir, centralCa) };
}

/** Certificates are copied into the folder: the file that was given may be on a stick. Flushed on return. */
export function writeStored(dataDir: string, { centralCaFile, ...settings }: StoredSettings): void {
  const own = join(dataDir, caFile);
  if (centralCaFile !== undefined && centralCaFile !== own) writeFlushed(own, readFileSync(centralCaFile));
  const text = { ...settings, ...(centralCaFile === undefined ? {} : { centralCa: caFile }) };
  writeFlushed(join(dataDir, "gateway.json"), Buffer.from(`${JSON.stringify(text, null, 2)}\n`));
}
