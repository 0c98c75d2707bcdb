import type { Command } from "commander";
import type { Run } from "./main.ts";
import { validate } from "./validate.ts";

export function addValidateCommand(program: Command, done: Run): void {
  program
    .command("validate")
    .description("Judge templates and sites as central and gateway will, and run their examples. Needs no central.")
    .argument("<files...>", "YAML or JSON documents")
    .action(async (files: string[]) => {
      done(await validate(files, (text) => process.stdout.write(text)));
    });
}
