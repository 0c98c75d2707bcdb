import { rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { temporaryFolder } from "../../support/folder.ts";
import { type RunningProcess, startPlantgate } from "../../support/process.ts";
import { type Built, buildProgram } from "./built.ts";
import { type Child, giveUp, startChild } from "./child.ts";

/** A folder, and the processes that run on it; all of them end with it, the last one first. */
export interface Workspace {
  readonly folder: string;
  child<Result>(name: ChildName, options: object): Child<Result>;
  /** A child of the bench that was built together with the program. */
  builtChild<Result>(name: "open", options: object): Child<Result>;
  /** `plantgate ARGS`, or central with settings that its command line has no word for. */
  plantgate(args: readonly string[], settings?: PlantgateSettings): RunningProcess;
  use<Value extends AsyncDisposable>(value: Value): Value;
  path(...parts: string[]): string;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PlantgateSettings {
  /** Modules to load before the program; they observe it. */
  readonly probes?: readonly ProbeName[];
  readonly env?: Readonly<Record<string, string>>;
  readonly program?: "launcher" | "central";
}

type ChildName = `${"base" | "intake" | "load" | "replay" | "live"}/${string}`;
type ProbeName = "loop-delay" | "batches";

const bench = new URL("../", import.meta.url);
const folders = new Set<string>();
const pids = new Set<number>();
process.on("exit", () => {
  for (const pid of pids) kill(pid);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

let profiles: string | undefined;
let built: Promise<Built> | undefined;

/** Where CPU profiles of Plantgate's processes are wanted. */
export function profileInto(folder: string): void {
  profiles = folder;
}

/** Builds what is measured, once a run. */
export function prepareProgram(): Promise<Built> {
  built ??= buildProgram();
  return built;
}

export async function openWorkspace(): Promise<Workspace> {
  const program = await prepareProgram();
  const folder = temporaryFolder();
  folders.add(folder.path);
  const stack = new AsyncDisposableStack();
  stack.defer(() => {
    folder[Symbol.dispose]();
    folders.delete(folder.path);
  });
  const use = <Value extends AsyncDisposable>(value: Value): Value => stack.use(value);
  return {
    folder: folder.path,
    child: (name, options) => use(startChild(new URL(`${name}-child.ts`, bench), options)),
    builtChild: (name, options) => use(startChild(pathToFileURL(program[name]), options)),
    plantgate: (args, settings = {}) => {
      const imports = (settings.probes ?? []).map((name) => `--import ${new URL(`probes/${name}.ts`, bench).href}`);
      const profile = profiles === undefined ? [] : [`--cpu-prof --cpu-prof-dir=${profiles}`];
      const started = startPlantgate(args, {
        launcher: program[settings.program ?? "launcher"],
        env: { ...settings.env, NODE_OPTIONS: [...imports, ...profile].join(" ") },
      });
      pids.add(started.pid);
      let asked = false;
      void started.ended.then((how) => {
        pids.delete(started.pid);
        if (!asked && how !== 0) giveUp(`plantgate ${args.slice(0, 3).join(" ")}`, String(how), started.output.slice(-30));
      });
      const end = { kill: started.kill, dispose: started[Symbol.asyncDispose] };
      return use({
        ...started,
        kill: (signal) => {
          asked = true;
          return end.kill(signal);
        },
        [Symbol.asyncDispose]: () => {
          asked = true;
          return end.dispose();
        },
      });
    },
    use,
    path: (...parts) => join(folder.path, ...parts),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}
