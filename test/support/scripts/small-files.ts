import { mkdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import * as ofCentral from "../../../central/storage/files.ts";
import { FenceMark, liftFence } from "../../../gateway/agent/fence.ts";
import * as ofGateway from "../../../gateway/write-flushed.ts";
import { machineDisk } from "../../../packaging/upgrade/disk.ts";

/** Writes small files that something hangs on into the folder named on the command line, and says after each what is done. */
const folder = process.argv[2] as string;
const at = (name: string): string => join(folder, name);
const say = (what: string): void => void writeSync(1, `${what}\n`);

ofGateway.writeFlushed(at("gateway"), Buffer.from("a"));
say("gateway's");
ofCentral.writeFlushed(at("central"), "a");
say("central's");
const mark = FenceMark.open(at("fenced"));
say("mark made");
mark.set("a clone");
say("fenced");
liftFence(at("fenced"));
say("lifted");
machineDisk.write(at("trial.json"), "a");
say("noted");
machineDisk.point(at("current"), "versions/0.2.0");
say("pointed");
machineDisk.remove(at("trial.json"));
say("removed");
machineDisk.writeBytes(at("package.deb"), Buffer.from("a"));
say("package");
mkdirSync(at("part"));
await machineDisk.flushTree(at("part"));
say("tree");
machineDisk.rename(at("part"), at("whole"));
say("renamed");
