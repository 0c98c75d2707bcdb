import { parseArgs } from "node:util";
import { runRolloutDemo } from "./demo.ts";

/** `npm run demo:rollout -- [--agents 50] [--offline 5] [--processes 5] [--data FOLDER]` */
const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "50" },
    offline: { type: "string", default: "5" },
    processes: { type: "string", default: "5" },
    data: { type: "string", default: ".plantgate/demo-rollout" },
  },
});
const [agents, offline, processes] = [whole(values.agents), whole(values.offline), whole(values.processes)];
// the first waves are a tenth of all, and somebody has to be there to be watched
if (!(agents >= 2 && agents <= 200 && offline <= agents - Math.ceil(agents / 10) && processes >= 1)) {
  process.stderr.write("Give 2 to 200 --agents, at most nine of ten of them --offline, and at least one of --processes.\n");
  process.exitCode = 2;
} else process.exitCode = await runRolloutDemo({ agents, offline, processes, dataDir: values.data });

function whole(text: string): number {
  return /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
}
