import { mkdirSync, writeFileSync } from "node:fs";
import { requireService } from "../../support/services.ts";
import { makeProgram, type Program } from "./program.ts";
import type { Workspace } from "./workspace.ts";

/** As good as it gets for many messages: nothing dropped, a window of 1,000, no log. */
export async function makeMosquitto(workspace: Workspace, name: string, port: number, more: readonly string[]): Promise<Program> {
  const path = await requireService("mosquitto");
  if (!path) throw new Error("mosquitto is missing");
  const folder = workspace.path(name);
  mkdirSync(folder, { recursive: true });
  const lines = [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "persistence true",
    `persistence_location ${folder}/`,
    "autosave_interval 30",
    "max_inflight_messages 1000",
    "max_queued_messages 0",
    "max_queued_bytes 0",
    "set_tcp_nodelay true",
    "log_dest none",
    ...(process.getuid?.() === 0 ? ["user root"] : []),
    ...more,
  ];
  const file = workspace.path(`${name}.conf`);
  writeFileSync(file, `${lines.join("\n")}\n`);
  return workspace.use(makeProgram(path, ["-c", file], port));
}
