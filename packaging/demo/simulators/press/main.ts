import { parseArgs } from "node:util";
import { startPress } from "../press.ts";

// A press as a process of its own: prints where it listens, as one JSON line, and stops at SIGTERM.
const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    name: { type: "string", default: "press" },
    log: { type: "string" },
    pki: { type: "string" },
    namespace: { type: "string", multiple: true, default: [] },
  },
});
if (values.log === undefined)
  throw new Error("usage: main.ts --log FILE [--port N] [--name NAME] [--pki FOLDER] [--namespace URI]…");
const press = await startPress({
  port: Number(values.port),
  name: values.name,
  logFile: values.log,
  otherNamespaces: values.namespace,
  ...(values.pki === undefined ? {} : { pkiFolder: values.pki }),
});
process.stdout.write(`${JSON.stringify({ endpoint: press.endpoint })}\n`);
const stop = (): void => {
  press.stop().then(
    () => process.exit(0),
    () => process.exit(1),
  );
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
