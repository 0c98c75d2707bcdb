#!/usr/bin/env node
// Plain JavaScript that every Node understands: it checks the runtime before it loads anything that needs Node 26.
import { existsSync } from "node:fs";

const needed = 26;
const found = Number(process.versions.node.split(".")[0]);
if (found < needed) {
  const pinned = new URL("../../node_modules/.bin/node", import.meta.url);
  const advice = existsSync(pinned)
    ? 'npm installed the right one for this machine: use "npx plantgate …" or "npm run plantgate -- …" in the project\'s folder'
    : `npm has no Node.js ${needed} package for ${process.platform}-${process.arch}: install Node.js ${needed} yourself, then run the same command again`;
  process.stderr.write(`plantgate: Node.js ${needed} is needed, this is ${process.versions.node}; ${advice}.\n`);
  process.exit(1);
}
const source = new URL("./main.ts", import.meta.url);
const { main } = await import(existsSync(source) ? source.href : new URL("./main.js", import.meta.url).href);
process.exitCode = await main(process.argv);
