import type { Machine } from "./machine.ts";
import { tail } from "./programs.ts";
import { FailedStep } from "./steps.ts";

/** A process of this machine that took part. */
export interface Witness {
  readonly name: string;
  readonly said: readonly string[];
}

/** With what systemd says of our units: it is the first to see one end. */
const journal = "journalctl --no-pager -o short-precise -u 'plantgate-*'";
const [first, last] = [10, 8];
const lineLength = 300;

/**
 * All that helps to see why a step failed. A log is read from its end: there stand what our units said since the step began, on each machine, and
 * after that the step itself with its error.
 */
export async function explain(error: unknown, machines: readonly Machine[], witnesses: readonly Witness[] = []): Promise<Error> {
  const since = error instanceof FailedStep ? ` --since @${error.sinceMs / 1000}` : " -n 20";
  const parts: string[] = [];
  for (const machine of machines) parts.push(await lookAround(machine));
  for (const { name, said } of witnesses) parts.push(titled(name, weighty(said)));
  for (const machine of machines) parts.push(titled(`${machine.name}, since then`, await saidBy(machine, since)));
  parts.push(error instanceof Error ? error.message : String(error));
  return new Error(parts.join("\n\n"), { cause: error });
}

async function lookAround(machine: Machine): Promise<string> {
  if (!machine.isOn) return titled(`${machine.name} is off; its console`, [tail(machine.console, 60)]);
  const looks = [
    "ls -la /opt/plantgate/* /opt/plantgate/*/versions /var/lib/plantgate /var/lib/plantgate/*; cat /opt/plantgate/*/*.json",
    "systemctl --no-pager status 'plantgate-*'",
    `${journal} -n 120`,
  ];
  const parts: string[] = [];
  for (const look of looks) parts.push(titled(`${machine.name}: ${look}`, [tail(await ask(machine, look), 140)]));
  return parts.join("\n\n");
}

async function saidBy(machine: Machine, since: string): Promise<string[]> {
  return machine.isOn ? weighty((await ask(machine, `${journal}${since}`)).trim().split("\n")) : ["it is off"];
}

/** What is more than information, of that the first lines, which hold the cause, and the last ones. */
function weighty(said: readonly string[]): string[] {
  const heavy = said.filter((line) => !/"level":[123]0/.test(line));
  const lines = (heavy.length > 0 ? heavy : said.slice(-last)).map((line) => line.slice(0, lineLength));
  const left = lines.length - first - last;
  return left > 0 ? [...lines.slice(0, first), `… ${left} lines …`, ...lines.slice(-last)] : lines;
}

function titled(title: string, lines: readonly string[]): string {
  return [`--- ${title}`, ...lines].join("\n");
}

async function ask(machine: Machine, line: string): Promise<string> {
  const { out, err } = await machine.sh(line, { timeoutMs: 60_000 }).catch((error: Error) => ({ out: "", err: error.message }));
  return out + err;
}
