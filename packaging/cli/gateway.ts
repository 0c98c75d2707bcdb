import type { Command } from "commander";
import type { Run } from "./main.ts";
import { loadModule } from "./module.ts";

export function addGatewayCommand(program: Command, done: Run): void {
  program
    .command("gateway")
    .description("Run the gateway of one site until SIGINT or SIGTERM.")
    .requiredOption("--data <folder>", "folder that the gateway owns: key, queue, secrets, configuration")
    .option("--site <name>", "name of the site, as central knows it; default: as enrolled")
    .option("--central <url>", "central's address, such as https://central.example.com; default: as enrolled")
    .option("--central-key <file>", 'central\'s public key, as "plantgate site add" prints it; default: as enrolled')
    .option("--central-ca <file>", "certificates (PEM) by which central's is judged: a private CA")
    .option("--central-pin <hash>", "SHA-256 of central's public TLS key (SPKI, base64); the key is then what counts")
    .option("--proxy <url>", "HTTP proxy through which central is reached, such as http://proxy.example.com:3128")
    .option("--host <address>", "address of the local listener for webhooks and health", "127.0.0.1")
    .option("--http-port <number>", "port of the local listener; 0: any free one", "8430")
    .option("--unfence", "a person decided: this gateway is the real one, the other one with its key is stopped")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .addHelpText(
      "after",
      "\nBefore the first start: plantgate enroll --central URL --token T --data FOLDER; from then on --data alone serves.\nOr by hand: plantgate key --data FOLDER > gateway.pub, then plantgate site add NAME --public-key gateway.pub at central.\nSecrets are files in FOLDER/secrets, one per name.",
    )
    .action(async (options: Record<string, string> & { unfence?: boolean }) => {
      const { runGateway } = (await loadModule("gateway/main")) as { runGateway: (raw: unknown) => Promise<number> };
      const code = await runGateway({
        site: options.site,
        dataDir: options.data,
        centralUrl: options.central,
        centralKeyFile: options.centralKey,
        centralCaFile: options.centralCa,
        centralPin: options.centralPin,
        proxy: options.proxy,
        host: options.host,
        port: options.httpPort,
        unfence: options.unfence ?? false,
        logLevel: options.logLevel,
      });
      done(code);
      // a failed queue must not be written to by anything that is still under way (rule 12)
      if (code === 70) process.exit(code);
    });
}
