import { type Finding, fault, ok, unchecked } from "../../protocol/index.ts";
import { placeOf } from "../cli/installed.ts";
import { output } from "./command.ts";
import type { Machine } from "./machine.ts";
import { startSubject } from "./symptoms.ts";

/** Whether the service of Windows runs; what it says when it does not lies in a file of its own. */
export async function checkWindowsService(machine: Machine): Promise<Finding[]> {
  const { unit, start, logs } = placeOf(machine.role);
  const said = await output("sc.exe", ["query", unit]);
  const state = said === undefined ? undefined : stateOf(said);
  if (state === undefined) return [fault(`Windows does not know the service ${unit}`, "Run install.ps1 of the archive again")];
  if (state === "running") return [ok(`${unit} is running`)];
  if (state === "changing") return [unchecked(`${unit} is starting or stopping`)];
  if (!machine.isReady()) return [unchecked(`${unit} is stopped: it has not what it needs to be started`)];
  return [fault(`${unit} is stopped`, `${start}, as an administrator; ${logs} says why it ended`, startSubject)];
}

/** By its number, which is the same in every language of Windows. */
export function stateOf(said: string): "running" | "stopped" | "changing" | undefined {
  const number = /:\s+([1-7])\s+[A-Z_]+\s*$/m.exec(said)?.[1];
  if (number === undefined) return undefined;
  if (number === "4") return "running";
  return number === "1" ? "stopped" : "changing";
}
