/** One system call, put together where another thread's call came in between. */
export interface Syscall {
  readonly thread: number;
  readonly name: string;
  /** First argument's descriptor with what it stands for, as `-yy` shows it: `25<TCP:[…]>`, `21</folder/file>`. */
  readonly descriptor: string;
  /** What was read or written; empty for other calls. */
  readonly bytes: Buffer;
  /** Strings among its arguments: what a rename is from and to. */
  readonly texts: readonly string[];
  /** Return value; negative: failed. */
  readonly result: number;
  /** Lines of the log at which it began and ended: what happened before what. */
  readonly begin: number;
  readonly end: number;
}

const whole = /^(\d+)\s+(\w+)\((.*)\)\s+=\s+(-?\d+|\?)/s;
const unfinished = /^(\d+)\s+(\w+)\((.*) <unfinished \.\.\.>$/s;
const resumed = /^(\d+)\s+<\.\.\. (\w+) resumed>(.*)\)\s+=\s+(-?\d+|\?)/s;

/** The calls of a log written by `strace -f -yy -x -s <large> -o`; in the order in which they ended. */
export function parseStrace(log: string): Syscall[] {
  const calls: Syscall[] = [];
  const open = new Map<string, { args: string; begin: number }>();
  for (const [line, text] of log.split("\n").entries()) {
    const half = unfinished.exec(text);
    if (half) {
      open.set(half[1] ?? "", { args: half[3] ?? "", begin: line });
      continue;
    }
    const rest = resumed.exec(text);
    const began = rest && open.get(rest[1] ?? "");
    const match = rest ?? whole.exec(text);
    if (!match) continue;
    const [, thread = "", name = "", args = "", result = ""] = match;
    if (rest) open.delete(thread);
    calls.push(toSyscall(Number(thread), name, `${began?.args ?? ""}${args}`, result, began?.begin ?? line, line));
  }
  return calls;
}

function toSyscall(thread: number, name: string, args: string, result: string, begin: number, end: number): Syscall {
  const descriptor = /^\d+<(?:->|[^<>])*>/.exec(args)?.[0] ?? "";
  const value = result === "?" ? -1 : Number(result);
  const strings = [...args.slice(descriptor.length).matchAll(/"((?:[^"\\]|\\.)*)"(\.\.\.)?/g)];
  if (strings.some(([, , cut]) => cut !== undefined) && descriptor.includes("TCP"))
    throw new Error(`strace cut a string short; give it a larger -s: ${args.slice(0, 80)}`);
  const decoded = strings.map(([, text]) => bytesOf(text ?? ""));
  const bytes = Buffer.concat(decoded).subarray(0, Math.max(0, value));
  return { thread, name, descriptor, bytes, texts: decoded.map(String), result: value, begin, end };
}

const signs: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, v: 11, f: 12, '"': 34, "\\": 92 };

/** C escapes, as strace writes them: \xHH, octal, and single letters. */
function bytesOf(text: string): Buffer {
  const bytes: number[] = [];
  for (const [part, hex, octal, sign] of text.matchAll(/\\x([0-9a-f]{2})|\\([0-7]{1,3})|\\(.)|[^\\]/g)) {
    if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (sign !== undefined) bytes.push(signs[sign] ?? sign.charCodeAt(0));
    else bytes.push(...Buffer.from(part));
  }
  return Buffer.from(bytes);
}
