import { execFile } from "node:child_process";
import { type Supervisor, unsupervised } from "../../protocol/index.ts";

/**
 * systemd's notifications (sd_notify(3)), where a unit of `Type=notify` started this process. The runtime has no datagram sockets of the
 * local kind, so systemd's own command tells them: the unit has to say `NotifyAccess=all`.
 */
export function openSupervisor(environment: NodeJS.ProcessEnv = process.env): Supervisor {
  if (environment.NOTIFY_SOCKET === undefined) return unsupervised;
  const watchdogUs = Number(environment.WATCHDOG_USEC ?? 0);
  const isMeant = environment.WATCHDOG_PID === undefined || Number(environment.WATCHDOG_PID) === process.pid;
  return {
    ready: () => tell("READY=1"),
    stopping: () => tell("STOPPING=1"),
    alive: () => tell("WATCHDOG=1"),
    aliveEveryMs: isMeant && watchdogUs > 0 ? watchdogUs / 1000 : undefined,
  };
}

/**
 * For a supervisor that has no signals (Windows' service host): the end of standard input asks for what SIGTERM asks for. It ends with the
 * supervisor too, however that ends, so that no process is left behind that holds its folder.
 */
export function stopWithInput(input: NodeJS.ReadStream = process.stdin): void {
  const stop = (): void => {
    // while it starts nobody listens: SIGTERM would end it as well
    if (!process.emit("SIGTERM", "SIGTERM")) process.exit(143);
  };
  input.once("end", stop).once("error", stop).resume();
  // it keeps no process alive that ends by itself
  input.unref?.();
}

/** What could not be told is noticed by whoever waits for it. */
function tell(state: string): void {
  execFile("systemd-notify", [state], () => {});
}
