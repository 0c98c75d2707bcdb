import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** What a program of the system prints; undefined: it is not there, failed, or took too long. */
export async function output(program: string, args: readonly string[], timeoutMs = 3000): Promise<string | undefined> {
  try {
    const options = { timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024, env: { ...process.env, LC_ALL: "C" } };
    return (await promisify(execFile)(program, [...args], options)).stdout;
  } catch {
    return undefined;
  }
}
