/** Progress for a person, on standard error: one line that changes on a terminal, else a line every few seconds. */
export interface Screen {
  line(text: string): void;
  /** What is being done now; the last one counts. */
  status(text: string): void;
}

const everyMs = 10_000;

export function openScreen(): Screen {
  const { stderr } = process;
  const began = performance.now();
  let shownAt = Number.NEGATIVE_INFINITY;
  const stamp = (): string => {
    const seconds = Math.round((performance.now() - began) / 1000);
    return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
  };
  return {
    line(text) {
      stderr.write(`${stderr.isTTY ? "\r\x1b[K" : ""}${stamp()} ${text}\n`);
    },
    status(text) {
      if (stderr.isTTY) {
        stderr.write(`\r\x1b[K${stamp()} ${text.slice(0, Math.max(20, stderr.columns - 8))}`);
        return;
      }
      if (performance.now() - shownAt < everyMs) return;
      shownAt = performance.now();
      stderr.write(`${stamp()} ${text}\n`);
    },
  };
}
