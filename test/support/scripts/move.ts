import { mkdirSync, writeFileSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { Identity } from "../../../gateway/identity/identity.ts";
import { makeCode } from "../../../gateway/move/header.ts";
import { moveIn } from "../../../gateway/move/move-in.ts";
import { moveOut } from "../../../gateway/move/move-out.ts";
import { openQueueFile } from "../../../gateway/queue/open.ts";
import { systemKernelTime } from "../../../gateway/queue/running-time.ts";
import { systemClock } from "../../../protocol/index.ts";

/** Moves a gateway out of `old` and into `new`, both in the folder named on the command line, and says after each what is done. */
const folder = process.argv[2] as string;
const at = (name: string): string => join(folder, name);
const say = (what: string): void => void writeSync(1, `${what}\n`);
const deps = { clock: systemClock, tell: () => {} };
const code = makeCode();

mkdirSync(at("old/secrets"), { recursive: true });
writeFileSync(at("old/secrets/wms"), "a-password");
Identity.open(at("old"));
openQueueFile({ path: at("old/queue.sqlite"), site: "lyon", kernel: systemKernelTime(), now: systemClock.now }).db.close();
say("made");
const output = await open(at("file"), "wx");
await moveOut({ dataDir: at("old"), file: at("file"), output, to: { kind: "code", code } }, deps);
await output.close();
say("out");
const input = await open(at("file"));
await moveIn({ dataDir: at("new"), input, code: async () => code }, deps);
await input.close();
say("in");
