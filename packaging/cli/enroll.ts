import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { writeRequest } from "../../gateway/enrollment/by-file.ts";
import { type EnrollProgress, enroll } from "../../gateway/enrollment/enroll.ts";
import { readStored } from "../../gateway/settings/stored.ts";
import { PlantgateError, systemClock } from "../../protocol/index.ts";
import { parseAddress } from "./arguments.ts";
import { asOwner, dataOption, placeHere, startService } from "./installed.ts";

interface EnrollFlags {
  readonly data: string;
  readonly central?: string;
  readonly token?: string;
  readonly request?: string;
  readonly centralCa?: string;
  readonly centralPin?: string;
  readonly proxy?: string;
}

export function addEnrollCommand(program: Command): void {
  const command = program.command("enroll").description("Bring this gateway to its site: once, before its first start.");
  dataOption(command, "gateway", "folder that the gateway owns")
    .option("--central <url>", "central's address, such as https://central.example.com", parseAddress)
    .option("--token <token>", "enrollment token, as plantgate site token NAME prints it at central")
    .option("--request <file>", "where there is no way to central yet: write a request there, for plantgate site enroll")
    .option("--central-ca <file>", "certificates (PEM) by which central's is judged: a private CA")
    .option(
      "--central-pin <hash>",
      "SHA-256 of central's public TLS key (SPKI, base64): needed where this machine's clock is wrong",
    )
    .option("--proxy <url>", "HTTP proxy through which central is reached, such as http://proxy.example.com:3128")
    .addHelpText(
      "after",
      "\nWith a token: somebody at central compares the fingerprint and confirms it; Ctrl-C ends the wait, the same command goes on later." +
        "\nWith a request: plantgate bundle import FILE takes what comes back.",
    )
    .action(async (flags: EnrollFlags) => {
      const way = { centralCaFile: flags.centralCa, centralPin: flags.centralPin, proxy: flags.proxy };
      if (flags.request !== undefined) return request(flags.request, flags.data, { ...way, centralUrl: flags.central });
      if (flags.central === undefined || flags.token === undefined)
        throw new PlantgateError("USAGE", "give --central URL and --token T, or --request FILE where there is no way to central");
      const stopping = new AbortController();
      const stop = (): void => stopping.abort();
      process.once("SIGINT", stop).once("SIGTERM", stop);
      const options = { dataDir: flags.data, centralUrl: flags.central, token: flags.token, ...way };
      const certificates = flags.centralCa === undefined ? [] : [flags.centralCa];
      const { site, fingerprint } = await asOwner(flags.data, certificates, ([centralCaFile]) =>
        enroll({ ...options, centralCaFile }, { clock: systemClock, tell: teller(flags.central as string) }, stopping.signal),
      ).catch((error: unknown) => {
        throw alreadyRuns(error, flags.data) ?? error;
      });
      process.stdout.write(`${site}: this gateway is enrolled, its key is ${fingerprint}\n`);
      process.stderr.write(`${await startService("gateway", flags.data)}\n`);
    });
}

async function request(file: string, dataDir: string, way: Parameters<typeof writeRequest>[1]): Promise<void> {
  const said = Object.fromEntries(Object.entries(way).filter(([, value]) => value !== undefined));
  const made = await asOwner(dataDir, [], () => writeRequest(dataDir, said));
  writeFileSync(file, `${JSON.stringify(made.request, null, 2)}\n`);
  process.stdout.write(`${made.fingerprint}\n`);
  process.stderr.write(
    `Fingerprint of this gateway's key:\n\n${spoken(made.fingerprint)}\n\nAt central: plantgate site enroll NAME --request ${file} --out FILE\nThen here: plantgate bundle import FILE --data ${dataDir}\n`,
  );
}

function teller(centralUrl: string): (progress: EnrollProgress) => void {
  return (progress) => {
    if (progress.kind === "reached") process.stderr.write("Central answers.\n");
    else if (progress.kind === "unreached")
      process.stderr.write(
        `Central is not reached, it is tried again until Ctrl-C: ${progress.reason}\n${dateAdvice(progress.reason)}${schemeAdvice(centralUrl, progress.reason)}`,
      );
    else
      process.stderr.write(
        `Site "${progress.site}". Fingerprint of this gateway's key:\n\n${spoken(progress.fingerprint)}\n\n` +
          `Compare it with somebody at central, who then confirms it:\n  plantgate site confirm ${progress.site} --fingerprint ${progress.fingerprint}\nWaiting for that ...\n`,
      );
  };
}

/** Who enrolls a second time, mostly by a mistake, is told what there is instead of a lock. */
function alreadyRuns(error: unknown, dataDir: string): PlantgateError | undefined {
  if (!(error instanceof PlantgateError) || error.code !== "DATA_FOLDER_LOCKED") return undefined;
  const stored = storedIn(dataDir);
  if (!stored) return undefined;
  const how = placeHere("gateway", dataDir)?.stop ?? "end its process with SIGTERM";
  return new PlantgateError(
    "DATA_FOLDER_LOCKED",
    `this gateway is enrolled as ${stored.site} at ${stored.centralUrl}, and runs, or another command is at work on it: nothing was changed. To enroll it anew stop it first: ${how}`,
  );
}

/** What cannot be read is no reason to hide that it is locked. */
function storedIn(dataDir: string) {
  try {
    return readStored(dataDir);
  } catch {
    return undefined;
  }
}

/** A server with TLS closes on plain HTTP, or answers what is no answer of central's. */
function schemeAdvice(centralUrl: string, reason: string): string {
  const { protocol, host } = new URL(centralUrl);
  if (protocol !== "http:" || !/socket hang up|ECONNRESET|Parse Error|answered 400, but not/.test(reason)) return "";
  return `Where central is behind TLS, its address is https://${host}.\n`;
}

/** A certificate that is good is not yet, or no more, by a clock that is wrong. */
function dateAdvice(reason: string): string {
  if (!/not yet valid|has expired/.test(reason)) return "";
  return `This machine's clock says ${new Date().toISOString()}. If that is wrong, set it, or give --central-pin: the key is then what counts.\n`;
}

/** A fingerprint as two people read it to each other: four lines of four groups. */
export function spoken(fingerprint: string): string {
  const groups = fingerprint.match(/.{4}/g) ?? [];
  const lines = [0, 4, 8, 12].map((at) => `  ${groups.slice(at, at + 4).join(" ")}`);
  return lines.join("\n");
}
