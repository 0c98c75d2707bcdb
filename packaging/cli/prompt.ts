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
  const typed = Promise.withResolvers<string>();
  let text = "";
  const read = (bytes: Buffer): void => {
    for (const key of bytes.toString("utf8")) {
      if (key === "\r" || key === "\n" || key === "\u0004") return typed.resolve(text);
      if (key === "\u0003") return typed.reject(new PlantgateError("USAGE", "given up"));
      text = key === "\u007f" || key === "\b" ? [...text].slice(0, -1).join("") : text + key;
    }
  };
  stdin.setRawMode(true);
  stdin.on("data", read);
  stdin.once("end", () => typed.resolve(text));
  stdin.resume();
  try {
    return await typed.promise;
  } finally {
    stdin.off("data", read);
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
