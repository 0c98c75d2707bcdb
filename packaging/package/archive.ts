import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { BuildError } from "./command.ts";

export interface Packing {
  readonly epochSeconds: number;
  /** With little effort, for files that nobody downloads. */
  readonly quick: boolean;
}

/** Packs the folder `name` of `parent`: sorted, of root, all of one time. */
export async function packArchive(parent: string, name: string, file: string, { epochSeconds, quick }: Packing): Promise<void> {
  const options = [
    "--sort=name",
    `--mtime=@${epochSeconds}`,
    "--owner=root:0",
    "--group=root:0",
    "--numeric-owner",
    "--format=gnu",
  ];
  const tar = spawn("tar", [...options, "-C", parent, "-cf", "-", name], { stdio: ["ignore", "pipe", "pipe"] });
  let complaint = "";
  tar.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  const ended = once(tar, "close");
  const part = `${file}.part`;
  await pipeline(tar.stdout, createGzip({ level: quick ? 1 : 6 }), createWriteStream(part));
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new BuildError(`packing ${name}: tar failed\n${complaint}`);
  await rename(part, file);
}
