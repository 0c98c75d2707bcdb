/**
 * What of a unit goes into a bundle: keys of which none can hold a secret. Its text is left out whole: an environment, a credential and the
 * arguments of a command may hold anything, in more spellings than one can list.
 */
export const harmlessKeys = [
  ...["Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "FragmentPath", "DropInPaths", "NeedDaemonReload"],
  ...["Result", "NRestarts", "ExecMainCode", "ExecMainStatus", "ExecMainPID", "ExecMainStartTimestamp", "ExecMainExitTimestamp"],
  ...["StateChangeTimestamp", "ActiveEnterTimestamp", "InactiveEnterTimestamp", "ConditionResult", "AssertResult"],
  ...[
    "Type",
    "NotifyAccess",
    "Restart",
    "RestartUSec",
    "TimeoutStartUSec",
    "TimeoutStopUSec",
    "WatchdogUSec",
    "WatchdogTimestamp",
  ],
  ...["User", "Group", "UMask", "DynamicUser", "StateDirectory", "WorkingDirectory", "After", "Before", "Requires", "Wants"],
  ...["MemoryCurrent", "MemoryPeak", "MemoryHigh", "MemoryMax", "CPUUsageNSec", "TasksCurrent", "TasksMax", "LimitNOFILE"],
  ...["ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "NoNewPrivileges", "ReadWritePaths", "ReadOnlyPaths"],
] as const;

/** Of what `systemctl show` says, a line a key. Whatever else stands there is left out. */
export function harmless(shown: string): string {
  const known = new Set<string>(harmlessKeys);
  const lines = shown.split("\n").filter((line) => known.has(/^(\w+)=/.exec(line)?.[1] ?? ""));
  return `${lines.join("\n")}\n`;
}

/** Addresses may hold a user and a password, in which an @ may stand again; lines of a log may hold what somebody else's program said. */
export function redacted(text: string): string {
  return text
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^/\s"'<>]+@/gi, "$1redacted@")
    .replaceAll(/\b(bearer\s+|(?:password|passwd|token|secret)=)[^\s"'<>,;&]+/gi, "$1redacted");
}
