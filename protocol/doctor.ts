import type { Clock } from "./base/clock.ts";
import { describeError } from "./base/error.ts";

/** `fault`: something does not work, or loses what it should keep. `warning`: it works, and a person should look. `unchecked`: nobody can tell, and why. */
export const findingLevels = ["ok", "warning", "fault", "unchecked"] as const;
export type FindingLevel = (typeof findingLevels)[number];

/** One thing that a check found. */
export interface Finding {
  readonly level: FindingLevel;
  /** What it is about, where a check looks at several: a connector, a file, a name. */
  readonly subject?: string;
  /** What was seen; of `unchecked`: why it was not. */
  readonly seen: string;
  /** What to do; of warnings and faults. */
  readonly advice?: string;
  /** As long as it stands, no start comes to anything: a service that does not stay up has its cause in it. */
  readonly stopsStart?: true;
  /** Whoever looked was left behind, and may still hold on to something. */
  readonly isUnfinished?: true;
}
export interface CheckFinding extends Finding {
  readonly check: string;
}

/** One question that a doctor asks of its machine. It changes nothing and throws nothing that it can foresee. */
export interface Check {
  readonly name: string;
  /** For the list of checks: what it looks at. */
  readonly about: string;
  /** The longest that it may take. */
  readonly limitMs: number;
  /** What it means that it does not end; without, that nobody can tell. */
  readonly late?: Finding;
  run(signal: AbortSignal): Promise<readonly Finding[]>;
}

/** The process that holds a data folder, by its number where that can be told. */
export interface Holder {
  readonly pid: number | undefined;
  /** The file of its lock was deleted under it: whoever starts on the folder finds it free. */
  readonly isLockGone?: true;
}

/** What to do about that, said of a process that runs; undefined: it holds the folder as it should. */
export function judgeLock(holder: Holder | undefined): Finding | undefined {
  if (!holder?.isLockGone) return undefined;
  return fault(
    `process ${holder.pid} works on the data folder, and its lock was deleted: another one could start beside it`,
    "Start no other; restart this one, which makes the lock anew",
  );
}

/** Who listens on a TCP port, at one of the machine's addresses. */
export interface Listener {
  /** As numbers are written; `0.0.0.0` and `::` are all of them. */
  readonly address: string;
  /** Undefined: of a process that we may not look at. */
  readonly pid: number | undefined;
  readonly command: string | undefined;
}
/** By port: each may be listened on at several addresses, by as many processes. */
export type Listeners = ReadonlyMap<number, readonly Listener[]>;

/** Whoever listens where somebody wants to: `own` before all others, as two may share a port. One at another address is in nobody's way. */
export function listenerAt(
  listeners: Listeners | undefined,
  { host, port, own }: { readonly host: string; readonly port: number; readonly own: number | undefined },
): Listener | undefined {
  const wanted = host === "localhost" ? ["127.0.0.1", "::1"] : [host];
  const isAnywhere = wanted.some((each) => everywhere.has(each) || isName(each));
  const meeting = (listeners?.get(port) ?? []).filter(
    ({ address }) => isAnywhere || everywhere.has(address) || wanted.includes(address),
  );
  return (
    meeting.find(({ pid }) => own !== undefined && pid === own) ?? meeting.find(({ pid }) => pid !== undefined) ?? meeting[0]
  );
}
const everywhere: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);
/** It may stand for any address. */
const isName = (host: string): boolean => !host.includes(":") && /[^\d.]/.test(host);

/** Whether NTP keeps the machine's clock: it does; it is to, and cannot; it is not to. */
export type Ntp = "kept" | "failing" | "off";

/** What to do about a clock that is wrong, by what keeps it. */
export function clockAdvice(ntp: Ntp | undefined): string {
  if (ntp === "failing")
    return "NTP is on, and does not get through: look at its servers (chronyc sources, timedatectl timesync-status) and at the firewall";
  if (ntp === "kept")
    return "NTP says that it keeps it: look at which servers it asks (chronyc sources, timedatectl timesync-status)";
  const how = ntp === "off" ? "NTP is off: timedatectl set-ntp true" : "timedatectl set-ntp true";
  return `Set it, and have it kept by NTP (${how})`;
}

/** What a check rests on: known, or why not. Whoever finds out reports it; whoever rests on it says `unchecked`. */
export type Known<Value> = { readonly known: true; readonly value: Value } | NotKnown;
export interface NotKnown {
  readonly known: false;
  readonly why: string;
  /** We may not look: no word about the thing itself. */
  readonly denied?: boolean;
}

export const known = <Value>(value: Value): Known<Value> => ({ known: true, value });
export const notKnown = (why: string): NotKnown => ({ known: false, why });

/** The year in which this program was made: no clock is right that says an earlier one. */
export const builtInYear = 2026;

export const ok = (seen: string, subject?: string): Finding => finding("ok", seen, undefined, subject);
export const unchecked = (seen: string, subject?: string): Finding => finding("unchecked", seen, undefined, subject);
export const warning = (seen: string, advice: string, subject?: string): Finding => finding("warning", seen, advice, subject);
export const fault = (seen: string, advice: string, subject?: string): Finding => finding("fault", seen, advice, subject);
/** A fault that no start gets past. */
export const stopping = (seen: string, advice: string, subject?: string): Finding => ({
  ...fault(seen, advice, subject),
  stopsStart: true,
});

function finding(level: FindingLevel, seen: string, advice: string | undefined, subject: string | undefined): Finding {
  return { level, ...(subject === undefined ? {} : { subject }), seen, ...(advice === undefined ? {} : { advice }) };
}

/** Runs all side by side, each for as long as it may; what does not end is what the check says of that, else `unchecked`; so is what fails on its own. In the order of the checks. */
export async function runChecks(checks: readonly Check[], clock: Clock): Promise<CheckFinding[]> {
  const found = await Promise.all(checks.map((check) => runOne(check, clock)));
  return found.flat();
}

async function runOne({ name, limitMs, late: meaning, run }: Check, clock: Clock): Promise<CheckFinding[]> {
  const over = new AbortController();
  const late = clock.sleep(limitMs, over.signal).then((): Finding[] => {
    const said = meaning ?? unchecked(`it did not end within ${Math.round(limitMs / 1000)} s`);
    return [{ ...said, isUnfinished: true }];
  });
  const asked = new AbortController();
  try {
    const findings = await Promise.race([run(asked.signal), late]);
    return findings.map((each) => ({ check: name, ...each }));
  } catch (error) {
    return [{ check: name, ...unchecked(`it failed: ${describeError(error)}`) }];
  } finally {
    over.abort();
    asked.abort();
  }
}
