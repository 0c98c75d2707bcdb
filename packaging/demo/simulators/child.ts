import { type Command, command } from "./messages.ts";

/**
 * The frame of a simulator process: tells its parent that it is ready and, once a second, how far it is; ends on SIGTERM or when the parent is gone.
 * Ctrl-C reaches the whole group: the parent decides, so SIGINT is left to it.
 */
export async function runChild(
  start: () => Promise<{ url: string; status: () => object; obey: (order: Command["kind"]) => void; stop: () => Promise<void> }>,
): Promise<void> {
  const running = await start();
  const tell = (message: object): void => {
    if (process.connected) process.send?.(message);
  };
  const timer = setInterval(() => tell({ kind: "status", ...running.status() }), 500);
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    clearInterval(timer);
    void running.stop().finally(() => process.exit(0));
  };
  process.on("SIGINT", () => {});
  process.on("SIGTERM", end);
  process.on("disconnect", end);
  process.on("message", (message) => {
    const parsed = command.safeParse(message);
    if (parsed.success) running.obey(parsed.data.kind);
  });
  tell({ kind: "ready", url: running.url });
}
