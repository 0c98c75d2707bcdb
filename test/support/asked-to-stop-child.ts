import { runCentral } from "../../central/main.ts";
import { unsupervised } from "../../protocol/index.ts";

/** A central that is asked to stop the moment that its supervisor knows that it is up. */
const ready = (): void => void process.kill(process.pid, "SIGTERM");
process.exitCode = await runCentral({ dataDir: process.argv[2], port: 0 }, { ...unsupervised, ready });
