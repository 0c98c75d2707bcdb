import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type EpochMs, type Finding, ok, unchecked } from "../../protocol/index.ts";
import type { GatewaySettings } from "../settings/schema.ts";
import { certificatesIn, isOutOfDate, judgeDates } from "./dates.ts";
import type { Facts } from "./facts.ts";

/** Dates of all certificates that the gateway meets or shows, by central's clock where it is known: a wrong clock here is found elsewhere. */
export async function checkCertificates(facts: Facts): Promise<Finding[]> {
  const findings = await judgeAll(facts, await facts.trueNow());
  if (findings.length === 0) return [ok("no certificates are used")];
  if (await facts.isTimeKnown()) return findings;
  // a clock that is wrong makes each of them bad: it is said instead
  const doubted = (seen: string): string => `by this machine's clock, which is wrong, ${seen}`;
  return findings.map((each) => (each.level === "fault" ? unchecked(doubted(each.seen), each.subject) : each));
}

async function judgeAll(facts: Facts, now: EpochMs): Promise<Finding[]> {
  const findings: Finding[] = [];
  const { certificate } = await facts.central();
  if (certificate)
    findings.push(judgeDates(certificate, { now, subject: "central", advice: "Renew it where central's TLS ends" }));
  findings.push(...(await authority(facts, now)));
  const bundle = await facts.bundle();
  for (const [name, { config }] of Object.entries(bundle?.connectors ?? {})) {
    const shown = (await facts.connector(name)).certificate;
    if (shown)
      findings.push(
        judgeDates(shown, { now, subject: name, advice: "Renew it at that system; the gateway comes back by itself" }),
      );
    if (config.type === "opcua") findings.push(...ownOf(facts.place.dataDir, name, now));
  }
  return findings;
}

/** The private authority by which central's certificate is judged: one that still counts is enough. */
async function authority(facts: Facts, now: number): Promise<Finding[]> {
  const settings = await facts.settings();
  const file = settings.known && settings.value.centralPin === undefined ? settings.value.centralCaFile : undefined;
  if (file === undefined) return [];
  try {
    const longest = longestIn(file);
    if (!longest) return [];
    const advice = "Get the authority's new certificate, and enroll again with --central-ca";
    return [judgeDates(longest, { now, subject: file, advice })];
  } catch {
    // whoever needs it says so: central
    return [unchecked("it cannot be read", file)];
  }
}

/** Of the authorities in a file the one that counts the longest. */
function longestIn(file: string): X509Certificate | undefined {
  const all = certificatesIn(readFileSync(file, "utf8"));
  return all.toSorted((a, b) => b.validToDate.getTime() - a.validToDate.getTime())[0];
}

/** Whether the private authority by which central is judged has expired: then nothing that central shows is trusted, which is said here. */
export function isAuthorityOver({ centralPin, centralCaFile }: GatewaySettings, now: number): boolean {
  if (centralPin !== undefined || centralCaFile === undefined) return false;
  try {
    const longest = longestIn(centralCaFile);
    return longest !== undefined && isOutOfDate(longest, now);
  } catch {
    return false;
  }
}

/** What we show to an OPC UA server; a new one is made at the next start, and has to be trusted there. */
function ownOf(dataDir: string, name: string, now: number): Finding[] {
  const folder = join(dataDir, "connectors", name, "own", "certs");
  try {
    return readdirSync(folder).flatMap((entry) => {
      const file = join(folder, entry);
      if (!statSync(file).isFile()) return [];
      const certificate = new X509Certificate(readFileSync(file));
      const advice = `Move ${file} away and restart the gateway: it makes a new one, which that server has to trust`;
      return [judgeDates(certificate, { now, subject: `${name}, our own`, advice })];
    });
  } catch {
    return [];
  }
}
