import { gzipSync } from "node:zlib";
import { tarEnd, tarHeader, tarPadding } from "../../central/backup/tar.ts";
import { version } from "../../gateway/version.ts";
import { PlantgateError } from "../../protocol/index.ts";
import { machineRoot, requireOpen } from "../cli/installed.ts";
import { collect, type Part } from "./collect.ts";
import { type ExamineOptions, examine, prepare, subjectOf } from "./examine.ts";
import { LeakGuard } from "./leaks.ts";
import { listed } from "./named.ts";
import { knownSecrets } from "./secrets.ts";
import { specialFiles } from "./special-files.ts";

export interface Guarded {
  readonly parts: readonly Part[];
  /** How many secret values it was searched for. */
  readonly searched: number;
  /** Names of those that are too short to be searched for. */
  readonly short: readonly string[];
  /** The data folder, where whoever makes it may not look into it. */
  readonly closed: string | undefined;
}

/**
 * All parts of a support bundle, searched for secrets.
 * @throws PlantgateError CONFIG_INVALID where something in the data folder cannot be read without an end
 * @throws PlantgateError INVARIANT where a secret stands in one: it names the part and the spelling, never the value
 */
export async function guardedParts(options: ExamineOptions, without: readonly string[]): Promise<Guarded> {
  const subject = subjectOf(options);
  const special = specialFiles(subject.dataDir);
  if (special.length > 0)
    throw new PlantgateError(
      "CONFIG_INVALID",
      `nothing was written: ${listed(special)} in ${subject.dataDir} is no file, but a pipe or a device, and would be waited for; move it away first`,
    );
  const prepared = prepare(subject);
  const examined = await examine(subject, prepared);
  const collected = (await collect(subject, prepared, examined)).filter(({ name }) => !without.includes(name));
  const readme = { name: "README.txt", about: "what is in it", content: readmeOf(collected, examined.at) };
  const parts = [readme, ...collected];
  const { shared } = prepared;
  const secrets = await knownSecrets(subject, machineRoot(), shared.role === "gateway" ? shared.facts : undefined);
  const guard = new LeakGuard(secrets);
  const leaks = parts.flatMap(({ name, content }) =>
    guard.find(Buffer.from(content)).map(({ secret, spelling }) => `${name} holds the value of ${secret} (${spelling})`),
  );
  if (leaks.length > 0)
    throw new PlantgateError(
      "INVARIANT",
      `nothing was written: ${leaks.join("; ")}. Leave that file out with --without, and change the secret: it stands where it should not`,
    );
  return { parts, searched: guard.searched, short: guard.short, closed: isClosed(subject.dataDir) ? subject.dataDir : undefined };
}

function isClosed(folder: string): boolean {
  try {
    requireOpen(folder);
    return false;
  } catch {
    return true;
  }
}

/** `.tar.gz` with one folder. */
export function archiveOf(parts: readonly Part[]): Buffer {
  const at = Date.now();
  const blocks = parts.flatMap(({ name, content }) => {
    const bytes = Buffer.from(content);
    return [tarHeader({ name: `plantgate-support/${name}`, bytes: bytes.length }, at), bytes, tarPadding(bytes.length)];
  });
  return gzipSync(Buffer.concat([...blocks, tarEnd]));
}

/** Name, size and meaning of each file, a line each. */
export function listOf(parts: readonly Part[]): string {
  const width = Math.max(...parts.map(({ name }) => name.length));
  return parts
    .map(({ name, content, about }) => `${name.padEnd(width)}  ${String(Buffer.byteLength(content)).padStart(9)} bytes  ${about}`)
    .join("\n");
}

function readmeOf(parts: readonly Part[], at: string): string {
  return `Plantgate support bundle, made ${at} by version ${version}.

${listOf(parts)}

It holds no message, no payload and no key of a message; of dead letters and deliveries it holds counts. Secrets stand in it by their names
only: before it was written, it was searched for every secret value that could be read on that machine. Names of hosts, sites, flows,
connectors and files stand in it, and the configuration with its mappings.
`;
}
