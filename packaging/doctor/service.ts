import { existsSync } from "node:fs";
import { type Finding, fault, ok, unchecked, warning } from "../../protocol/index.ts";
import { output } from "./command.ts";
import { isThisMachine, type Machine } from "./machine.ts";
import { startSubject } from "./symptoms.ts";
import { checkWindowsService } from "./windows-service.ts";

const asked = [
  "LoadState",
  "ActiveState",
  "SubState",
  "UnitFileState",
  "Result",
  "NRestarts",
  "FragmentPath",
  "NeedDaemonReload",
] as const;
type UnitState = Readonly<Record<(typeof asked)[number], string>>;

/** Of a systemd unit; undefined where there is no systemd that answers. */
export async function unitState(unit: string): Promise<UnitState | undefined> {
  if (!existsSync("/run/systemd/system")) return undefined;
  const text = await output("systemctl", ["show", unit, `--property=${asked.join(",")}`]);
  if (text === undefined) return undefined;
  const values = new Map(text.split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]));
  // of any unit it says that much, also of one that it does not know
  if (!values.get("LoadState")) return undefined;
  return Object.fromEntries(asked.map((name) => [name, values.get(name) ?? ""])) as UnitState;
}

/** Whether the service runs, stays up, and comes back with the machine. */
export async function checkService(machine: Machine): Promise<Finding[]> {
  const { here } = machine;
  if (!here) return [unchecked("no package is installed for this folder: whoever starts it has to see that it runs")];
  if (process.platform === "win32") return checkWindowsService(machine);
  const state = isThisMachine(machine) ? await unitState(here.unit) : undefined;
  if (!state) return [unchecked(`systemd does not answer for ${here.unit}`)];
  const logs = `journalctl -u ${here.unit} -n 50 says why`;
  const start = `systemctl enable --now ${here.unit}`;
  if (state.LoadState === "masked")
    return [fault(`${here.unit} is masked: nothing starts it`, `systemctl unmask ${here.unit} && ${start}`)];
  if (state.LoadState !== "loaded")
    return [
      fault(`systemd does not know ${here.unit} (${state.LoadState})`, "Install the package again; systemctl daemon-reload"),
    ];
  const findings: Finding[] = [];
  if (state.ActiveState !== "active" && !machine.isReady())
    findings.push(unchecked(`${here.unit} is ${state.ActiveState}: it has not what it needs to be started`));
  else if (state.ActiveState === "failed")
    findings.push(fault(`${here.unit} has failed (${state.Result})`, `${logs}; then ${start}`, startSubject));
  else if (state.SubState === "auto-restart" || (state.ActiveState === "activating" && Number(state.NRestarts) > 0))
    findings.push(fault(`${here.unit} does not stay up: started again ${state.NRestarts} times`, logs, startSubject));
  else if (state.ActiveState === "inactive") findings.push(fault(`${here.unit} is stopped`, start));
  else if (state.UnitFileState !== "enabled" && !state.UnitFileState.startsWith("enabled"))
    findings.push(warning(`${here.unit} does not start with the machine (${state.UnitFileState})`, start));
  findings.push(...(await takesVersions(machine)));
  if (state.NeedDaemonReload === "yes")
    findings.push(warning("systemd has not read its unit files since they changed", "systemctl daemon-reload"));
  return findings.length > 0 ? findings : [ok(`${here.unit} is ${state.ActiveState}`)];
}

/** What central offers is taken by root's updater, which a unit of its own starts. */
async function takesVersions({ role }: Machine): Promise<Finding[]> {
  if (role !== "gateway") return [];
  const unit = "plantgate-gateway-upgrade.path";
  const state = await unitState(unit);
  if (!state || (state.ActiveState === "active" && state.UnitFileState.startsWith("enabled"))) return [];
  const seen = state.LoadState === "loaded" ? `${state.ActiveState}, ${state.UnitFileState}` : state.LoadState;
  const again = state.LoadState === "masked" ? `systemctl unmask ${unit} && ` : "";
  return [warning(`${unit} is ${seen}: versions that central offers are not taken`, `${again}systemctl enable --now ${unit}`)];
}
