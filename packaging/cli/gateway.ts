import { resolve } from "node:path";
import type { Command } from "commander";
import type { Supervisor } from "../../protocol/index.ts";
import { becomeOwner, installed, requireOpen, requireWritable, settingsOf } from "./installed.ts";
import type { Run } from "./main.ts";
import { loadModule } from "./module.ts";
import { addMoveCommands } from "./move.ts";
import { type RefusedSettings, withoutNewer } from "./newer-settings.ts";
import { openSupervisor, stopWithInput } from "./supervisor.ts";

export function addGatewayCommand(program: Command, done: Run): void {
  const command = program
    .command("gateway")
    .description("Run the gateway of one site until SIGINT or SIGTERM.")
    .option("--data <folder>", "folder that the gateway owns: key, queue, secrets, configuration")
    .option(
      "--config <file>",
      "settings as YAML: dataDir, host, port, logLevel, proxy, …; what the command line says counts more (default: /etc/plantgate/gateway.yaml, where it is installed)",
    )
    .option("--site <name>", "name of the site, as central knows it; default: as enrolled")
    .option("--central <url>", "central's address, such as https://central.example.com; default: as enrolled")
    .option("--central-key <file>", 'central\'s public key, as "plantgate site add" prints it; default: as enrolled')
    .option("--central-ca <file>", "certificates (PEM) by which central's is judged: a private CA")
    .option("--central-pin <hash>", "SHA-256 of central's public TLS key (SPKI, base64); the key is then what counts")
    .option("--proxy <url>", "HTTP proxy through which central is reached, such as http://proxy.example.com:3128")
    .option("--host <address>", "address of the local listener for webhooks and health (default: 127.0.0.1)")
    .option("--http-port <number>", "port of the local listener; 0: any free one (default: 8430)")
    .option("--unfence", "a person decided: this gateway is the real one, the other one with its key is stopped")
    .option("--log-level <level>", "debug, info, warn or error (default: info)")
    .option("--until-input-ends", "stop as well when standard input ends: for a supervisor without signals, as on Windows")
    .addHelpText(
      "after",
      "\nBefore the first start: plantgate enroll --central URL --token T; from then on --data alone serves, and nothing where it is installed.\nOr by hand: plantgate key --data FOLDER > gateway.pub, then plantgate site add NAME --public-key gateway.pub at central.\nSecrets are files in FOLDER/secrets, one per name; where it is installed also in /etc/plantgate/secrets, read at the start.",
    )
    .action(async (options: Record<string, string> & { unfence?: boolean; untilInputEnds?: boolean }) => {
      if (options.untilInputEnds) stopWithInput();
      const settings = settingsOf("gateway", options.config, {
        site: options.site,
        dataDir: options.data,
        centralUrl: options.central,
        centralKeyFile: options.centralKey,
        centralCaFile: options.centralCa,
        centralPin: options.centralPin,
        proxy: options.proxy,
        host: options.host,
        port: options.httpPort,
        unfence: options.unfence,
        logLevel: options.logLevel,
        credentialsDir: process.env.CREDENTIALS_DIRECTORY,
      });
      const here = installed("gateway");
      if (here && resolve(here.dataDir) === resolve(String(settings.dataDir))) settings.installedDir ??= here.root;
      becomeOwner(String(settings.dataDir));
      requireOpen(String(settings.dataDir));
      requireWritable("gateway", String(settings.dataDir));
      const { runGateway, refusedSettings } = (await loadModule("gateway/main")) as {
        runGateway: (raw: unknown, supervisor: Supervisor) => Promise<number>;
        refusedSettings: RefusedSettings;
      };
      const code = await runGateway(withoutNewer("gateway", settings, refusedSettings(settings)), openSupervisor());
      done(code);
      // a failed queue must not be written to by anything that is still under way (rule 12)
      if (code === 70) process.exit(code);
    });
  addMoveCommands(command);
}
