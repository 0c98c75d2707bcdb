import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Entry } from "../../../packaging/demo/simulators/entry.ts";

/** A folder that is gone with the test. */
export function temporaryFolder(): Disposable & { readonly path: string; file(name: string): string } {
  const path = mkdtempSync(join(tmpdir(), "plantgate-demo-"));
  return { path, file: (name) => join(path, name), [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Asks until the answer is there; fails at the deadline. */
export async function until<T>(ask: () => T | undefined | false, deadlineMs = 120_000): Promise<T> {
  for (const end = Date.now() + deadlineMs; ; await sleep(10)) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > end) throw new Error(`not in ${deadlineMs} ms: ${ask.toString()}`);
  }
}

export function entriesOf(file: string): Entry[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Entry);
}

export const order = (id: number, more: object = {}): object => ({
  order: `hq-mo-${id}`,
  name: `WH/MO/000${id}`,
  item: "FG-HSG",
  qty: "100",
  uom: "C62",
  revision: 1,
  priority: 1,
  lines: [
    { no: 1, item: "RM-ALU", qty: "12.5", uom: "KGM", op: 10 },
    { no: 2, item: "RM-SCR", qty: "200", uom: "C62", op: 20 },
  ],
  ...more,
});
