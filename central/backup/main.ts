/** What the command line loads to copy a central and to put it back. */
export { backUp } from "./back-up.ts";
export { restore } from "./restore.ts";
export { verify } from "./verify.ts";
