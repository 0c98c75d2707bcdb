/** How often a line is written where nobody watches it grow. */
const everyMs = 5000;

/** Says on stderr how far something large is: one line that changes on a terminal, else a line now and then; nothing of what is quick. */
export function tellProgress(doing: string): (done: number, all: number) => void {
  let toldAt = performance.now();
  return (done, all) => {
    const now = performance.now();
    if (now - toldAt < (process.stderr.isTTY ? 500 : everyMs)) return;
    toldAt = now;
    const line = `${doing}: ${Math.min(100, Math.floor((done / Math.max(1, all)) * 100))} %`;
    process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${line}\r` : `${line}\n`);
  };
}
