import { tail } from "./programs.ts";

/** Prints what is being done, and how long it took. */
export interface Steps {
  /** @throws FailedStep */
  step<Value>(name: string, run: () => Promise<Value>): Promise<Value>;
  /** Something worth knowing of the step that runs. */
  note(text: string): void;
}

/** Says which step failed, when that began, and why. */
export class FailedStep extends Error {
  readonly sinceMs: number;

  constructor(name: string, sinceMs: number, cause: unknown) {
    super(`FAILED: ${name}\n${reasonOf(cause)}`, { cause });
    this.sinceMs = sinceMs;
  }
}

export function openSteps(label: string): Steps {
  const begun = performance.now();
  const say = (text: string): void =>
    void process.stdout.write(`${label.padEnd(4)} ${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
  return {
    note: (text) => say(`    ${text}`),
    async step(name, run) {
      const [since, sinceMs] = [performance.now(), Date.now()];
      try {
        const value = await run();
        say(`${name} (${((performance.now() - since) / 1000).toFixed(1)} s)`);
        return value;
      } catch (error) {
        const failed = new FailedStep(label === "" ? name : `${label}: ${name}`, sinceMs, error);
        say(`FAILED: ${name}`);
        throw failed;
      }
    },
  };
}

/** @throws Error that says what was expected */
export function expect(holds: boolean, what: string, found?: unknown): asserts holds {
  if (!holds)
    throw new Error(
      found === undefined
        ? `expected: ${what}`
        : `expected: ${what}; found: ${typeof found === "string" ? found : JSON.stringify(found)}`,
    );
}

/** The end of what was said, and where in these files. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const own = (cause.stack ?? "").split("\n").filter((line) => /^ +at .*test\/package\//.test(line));
  return [...tail(cause.message, 15).split("\n"), ...own.slice(0, 3)].map((line) => line.slice(0, 1500)).join("\n");
}
