import { Command, CommanderError } from "commander";
import { version } from "../../gateway/version.ts";
import { describeError, PlantgateError } from "../../protocol/index.ts";
import { addApplyCommand } from "./apply.ts";
import { addAuditCommand } from "./audit.ts";
import { addBackupCommand } from "./backup.ts";
import { addBundleCommand } from "./bundle.ts";
import { addCentralCommand } from "./central.ts";
import { addChangeCommand } from "./change.ts";
import { addDeliveryCommand } from "./delivery.ts";
import { addDemoCommand } from "./demo.ts";
import { addDiffCommand } from "./diff.ts";
import { addDoctorCommand } from "./doctor.ts";
import { addDryRunCommand } from "./dry-run.ts";
import { addEnrollCommand } from "./enroll.ts";
import { addGatewayCommand } from "./gateway.ts";
import { addGetCommand } from "./get.ts";
import { addKeyCommand } from "./key.ts";
import { addLoginCommand } from "./login.ts";
import { addPushCommand } from "./push.ts";
import { addQueueCommand } from "./queue.ts";
import { addReleaseCommand } from "./release.ts";
import { addRestoreCommand } from "./restore.ts";
import { addRolloutCommand } from "./rollout.ts";
import { addSecretCommand } from "./secret.ts";
import { addShadowCommand } from "./shadow.ts";
import { addSiteCommand } from "./site.ts";
import { addSupportBundleCommand } from "./support-bundle.ts";
import { systemErrorSentence } from "./system-error.ts";
import { addTokenCommand } from "./token.ts";
import { addUpgradeCommand } from "./upgrade.ts";
import { addUserCommand } from "./user.ts";
import { addValidateCommand } from "./validate-command.ts";

/** What a command resolves with is the exit code. */
export type Run = (code: number) => void;

/** All commands, with what each takes. */
export function commandLine(done: Run): Command {
  const program = new Command("plantgate")
    .description("Edge gateway and control plane between ERP, warehouse, scheduler and machines.")
    .version(version)
    .exitOverride()
    .showHelpAfterError("(add --help for what this command takes)");
  addGatewayCommand(program, done);
  addCentralCommand(program, done);
  addBackupCommand(program);
  addRestoreCommand(program);
  addDemoCommand(program, done);
  addKeyCommand(program);
  addEnrollCommand(program);
  addSiteCommand(program);
  addBundleCommand(program);
  addSecretCommand(program);
  addApplyCommand(program, done);
  addDiffCommand(program, done);
  addGetCommand(program);
  addChangeCommand(program, done);
  addPushCommand(program, done);
  addReleaseCommand(program);
  addRolloutCommand(program, done);
  addLoginCommand(program);
  addUserCommand(program);
  addTokenCommand(program);
  addUpgradeCommand(program, done);
  addAuditCommand(program, done);
  addDryRunCommand(program, done);
  addDoctorCommand(program, done);
  addSupportBundleCommand(program);
  addQueueCommand(program);
  addShadowCommand(program);
  addDeliveryCommand(program);
  addValidateCommand(program, done);
  return program;
}

/** Runs one command line; resolves with its exit code. 1: it failed and said why; 2: the command line is wrong, or its gateway was moved away. */
export async function main(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = commandLine((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(argv as string[]);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`plantgate: ${systemErrorSentence(error) ?? describeError(error)}\n`);
    // what the system refused says enough by itself; a place in the code helps where nobody foresaw the failure
    const foreseen = error instanceof PlantgateError || (error instanceof Error && "syscall" in error);
    if (!foreseen && error instanceof Error && error.stack) process.stderr.write(`${error.stack}\n`);
    // no restart makes it different: a supervisor is to leave it
    return error instanceof PlantgateError && error.code === "FOLDER_MOVED" ? 2 : 1;
  }
  return exitCode;
}
