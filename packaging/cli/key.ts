import { mkdirSync } from "node:fs";
import type { Command } from "commander";
import { Identity } from "../../gateway/identity/identity.ts";
import { becomeOwner, dataOption } from "./installed.ts";

export function addKeyCommand(program: Command): void {
  const key = program
    .command("key")
    .description("Print the gateway's public key, making the key pair if the data folder has none.");
  dataOption(key, "gateway", "the gateway's data folder")
    .option("--fingerprint", "print the SHA-256 fingerprint instead, to compare it with what central shows")
    .action((options: { data: string; fingerprint?: boolean }) => {
      becomeOwner(options.data);
      mkdirSync(options.data, { recursive: true, mode: 0o700 });
      const identity = Identity.open(options.data);
      process.stdout.write(options.fingerprint ? `${identity.fingerprint}\n` : identity.publicPem);
    });
}
