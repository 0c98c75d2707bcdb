import { readFileSync } from "node:fs";
import { PlantgateError } from "../../protocol/index.ts";
import type { DialOptions } from "../link/dial.ts";
import type { GatewaySettings } from "./schema.ts";

/** @throws PlantgateError CONFIG_INVALID when the file of certificates cannot be read */
export function readDial({
  centralCaFile,
  centralPin,
  proxy,
}: Pick<GatewaySettings, "centralCaFile" | "centralPin" | "proxy">): DialOptions {
  return {
    ...(centralCaFile === undefined ? {} : { ca: readCertificates(centralCaFile) }),
    ...(centralPin === undefined ? {} : { pin: centralPin }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

function readCertificates(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new PlantgateError("CONFIG_INVALID", `the certificates for central cannot be read from ${file}`, { cause });
  }
  if (!text.includes("-----BEGIN CERTIFICATE-----"))
    throw new PlantgateError("CONFIG_INVALID", `${file} holds no certificate in PEM`);
  return text;
}
