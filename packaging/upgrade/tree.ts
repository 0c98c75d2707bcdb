import { chownSync, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { PlantgateError } from "../../protocol/index.ts";

/**
 * Looks through what was unpacked before it gets its name: files, folders and links that stay inside; nothing that runs as somebody else, nothing
 * that others may write to. As root, all of it becomes root's.
 * @throws PlantgateError INPUT_INVALID
 */
export function requireHarmlessTree(top: string): void {
  const refuse = (path: string, why: string): never => {
    throw new PlantgateError("INPUT_INVALID", `the package holds ${relative(top, path) || "a top folder"}, ${why}`);
  };
  const root = process.geteuid?.() === 0;
  const visit = (path: string): void => {
    const stat = lstatSync(path);
    if (stat.isSymbolicLink()) {
      const target = resolve(path, "..", readlinkSync(path));
      if (target !== top && !target.startsWith(`${top}/`)) refuse(path, "a link that leads out of it");
      return;
    }
    if (!stat.isFile() && !stat.isDirectory()) refuse(path, "which is no file, folder or link");
    if ((stat.mode & 0o6000) !== 0) refuse(path, "which would run as somebody else");
    if ((stat.mode & 0o022) !== 0) refuse(path, "which others may write to");
    if (root && (stat.uid !== 0 || stat.gid !== 0)) chownSync(path, 0, 0);
    if (stat.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
  };
  visit(top);
}
