import { runCentral } from "../../../central/main.ts";

// central with settings that its command line has no option for, as JSON in the first argument
process.exitCode = await runCentral(JSON.parse(process.argv[2] ?? "{}"));
