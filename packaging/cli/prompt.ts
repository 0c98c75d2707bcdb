import { createInterface } from "node:readline/promises";
import { PlantgateError } from "../../protocol/index.ts";

/** Asks a person; where nobody sits there, the next line of stdin answers. */
export async function ask(question: string): Promise<string> {
  if (!process.stdin.isTTY) return nextLine();
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await lines.question(question)).trim();
  } finally {
    lines.close();
  }
}

/** The same for what nobody else is to see: it is not shown while it is typed, and stands in no argument, history or process list. */
export async function askHidden(question: string): Promise<string> {
  if (!process.stdin.isTTY) return nextLine();
  const { stdin, stderr } = process;
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  let typed = "";
  try {
    for await (const text of stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
      for (const key of text) {
        if (key === "\r" || key === "\n" || key === "\u0004") return typed;
        if (key === "\u0003") throw new PlantgateError("USAGE", "given up");
        if (key === "\u007f" || key === "\b") typed = [...typed].slice(0, -1).join("");
        else typed += key;
      }
    }
    return typed;
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write("\n");
  }
}

let rest: AsyncIterator<string> | undefined;
async function nextLine(): Promise<string> {
  rest ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const line = await rest.next();
  if (line.done) throw new PlantgateError("USAGE", "nothing was said on stdin");
  return line.value;
}
