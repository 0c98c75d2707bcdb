import { openLive } from "./queue-life.ts";

/** Opens the queue in the folder of its first argument, as a process that may be killed meanwhile; says when it begins. */
process.send?.("begins");
openLive(process.argv[2] as string);
process.send?.("open");
