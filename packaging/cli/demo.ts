import type { Command } from "commander";
import { parsePort } from "./arguments.ts";
import type { Run } from "./main.ts";
import { hasModule, loadModule } from "./module.ts";

export function addDemoCommand(program: Command, done: Run): void {
  if (!hasModule("packaging/demo/demo")) return;
  program
    .command("demo")
    .description("Run central, two plants and the ERP's site with simulated systems on this machine.")
    .option("--outage", "scripted: cut a plant off under load, kill its gateway, bring it back, and prove that nothing was lost")
    .option("--data <folder>", "folder for everything the demo writes; emptied at the start", ".plantgate/demo")
    .option("--keep", "move what an earlier run left aside instead of emptying the folder")
    .option("--port <number>", "port of central and its console", parsePort, "8420")
    .addHelpText("after", "\nCtrl-C ends everything it started.")
    .action(async (options: { outage?: boolean; data: string; keep?: boolean; port: string }) => {
      const { runDemo } = (await loadModule("packaging/demo/demo")) as {
        runDemo: (options: { outage: boolean; dataDir: string; keep: boolean; port: number }) => Promise<number>;
      };
      done(
        await runDemo({
          outage: options.outage ?? false,
          dataDir: options.data,
          keep: options.keep ?? false,
          port: Number(options.port),
        }),
      );
    });
}
