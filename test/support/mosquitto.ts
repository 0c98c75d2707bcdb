import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { claimPort } from "../fault/plant/ports.ts";
import { temporaryFolder } from "./folder.ts";
import { requireService } from "./services.ts";

export interface Mosquitto {
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now. */
  readonly pid: number;
  /** Ends the broker; what it persists stays, and `start` brings it back on the same port. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface MosquittoOptions {
  readonly port?: number;
  /** Names and passwords; without any, everybody may connect. */
  readonly users?: Readonly<Record<string, string>>;
  /** Lines of an access list (`user`, `topic`); without any, users may do everything. */
  readonly acl?: readonly string[];
  /** More lines of configuration. */
  readonly config?: readonly string[];
}

/** A real Mosquitto on 127.0.0.1, with configuration and persistence in a folder of its own. */
export async function startMosquitto({ port, users, acl, config = [] }: MosquittoOptions = {}): Promise<Mosquitto> {
  const program = await requireService("mosquitto");
  if (!program) throw new Error("mosquitto is missing");
  const folder = temporaryFolder();
  let chosen = port ?? (await freePort());
  mkdirSync(join(folder.path, "data"));
  const lines = [
    "persistence true",
    `persistence_location ${join(folder.path, "data")}/`,
    "log_dest stderr",
    "log_type all",
    ...config,
  ];
  if (process.getuid?.() === 0) lines.push("user root");
  if (users) {
    const passwords = join(folder.path, "passwords");
    writeFileSync(
      passwords,
      Object.entries(users)
        .map(([name, password]) => `${name}:${password}\n`)
        .join(""),
      { mode: 0o600 },
    );
    execFileSync((await requireService("mosquitto_passwd")) ?? "mosquitto_passwd", ["-U", passwords], { stdio: "ignore" });
    lines.push("allow_anonymous false", `password_file ${passwords}`);
  } else lines.push("allow_anonymous true");
  if (acl) {
    writeFileSync(join(folder.path, "acl"), `${acl.join("\n")}\n`, { mode: 0o600 });
    lines.push(`acl_file ${join(folder.path, "acl")}`);
  }
  const file = join(folder.path, "mosquitto.conf");
  const configure = () => writeFileSync(file, `${[`listener ${chosen} 127.0.0.1`, ...lines].join("\n")}\n`);
  configure();

  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    child = spawn(program, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    let output = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      output = (output + chunk).slice(-4000);
    });
    await listening(chosen, child, () => output);
  };
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<void> => {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const ended = once(running, "exit");
    running.kill(signal);
    await ended;
  };
  await start().catch(async (error: unknown) => {
    // somebody else took the port meanwhile
    if (port !== undefined || !String(error).includes("Address already in use")) throw error;
    chosen = await freePort();
    configure();
    await start();
  });
  return {
    url: `mqtt://127.0.0.1:${chosen}`,
    port: chosen,
    get pid() {
      return child?.pid ?? 0;
    },
    stop,
    start,
    async [Symbol.asyncDispose]() {
      await stop();
      folder[Symbol.dispose]();
    },
  };
}

/** For who binds it later, or leaves it for a while and comes back. */
export const freePort = claimPort;

async function listening(port: number, child: ChildProcess, output: () => string): Promise<void> {
  const end = performance.now() + 60_000;
  while (performance.now() < end) {
    if (child.exitCode !== null) throw new Error(`mosquitto ended:\n${output()}`);
    const socket = connect(port, "127.0.0.1");
    const opened = await Promise.race([once(socket, "connect").then(() => true), once(socket, "error").then(() => false)]).catch(
      () => false,
    );
    socket.destroy();
    if (opened) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  child.kill("SIGKILL");
  throw new Error(`mosquitto does not listen:\n${output()}`);
}
