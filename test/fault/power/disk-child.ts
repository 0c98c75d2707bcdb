import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, read, writevSync } from "node:fs";
import { z } from "zod";
import { Random } from "../random.ts";
import { BlockLog } from "./block-log.ts";
import {
  attributesBody,
  entryBody,
  errno,
  fileNode,
  initBody,
  makeReply,
  opcode,
  openBody,
  readExtent,
  readHeader,
  readName,
  requestBytes,
  statfsBody,
  writtenBody,
} from "./fuse-protocol.ts";

/**
 * A process that is a disk: it serves one file, the disk's image, from its memory through /dev/fuse, and logs each write and flush.
 * Modes: `live`; `armed`: it will stop answering as soon as so many writes wait for a flush; `frozen`: the power is gone, what is
 * asked waits; then requests are answered without effect until `cut` makes what survived the disk's content, and it is `live` again.
 * Argument 2: folder to mount on; argument 3: size in bytes. Ends with its parent.
 */
const command = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("arm"), pending: z.int(), withinMs: z.int() }),
  z.object({ kind: z.literal("die") }),
  z.object({ kind: z.literal("cut"), seed: z.int() }),
  z.object({ kind: z.literal("statistics"), pattern: z.string().optional() }),
]);

const folder = process.argv[2] ?? "";
const sizeBytes = Number(process.argv[3]);
const disk = new BlockLog(sizeBytes);
const held: Buffer[] = [];
let mode: "live" | "armed" | "frozen" | "dead" = "live";
/** While `armed`: unflushed writes at which the power goes. */
let pendingAtCut = 0;
let deadline: NodeJS.Timeout | undefined;

const device = openSync("/dev/fuse", "r+");
const mounting = spawn(
  "mount",
  ["-i", "-t", "fuse", "plantgate-fault", folder, "-o", "fd=3,rootmode=40000,user_id=0,group_id=0"],
  { stdio: ["ignore", "ignore", "inherit", device] },
);
const [code] = (await once(mounting, "exit")) as [number | null];
if (code !== 0) {
  closeSync(device);
  process.exit(1);
}
const buffer = Buffer.alloc(requestBytes);
next();
tell({ kind: "ready" });
process.on("disconnect", () => process.exit(0));
process.on("message", (message) => obey(command.parse(message)));

function next(): void {
  read(device, buffer, 0, buffer.length, null, (error, length) => {
    if (error) {
      // an interrupted request is gone (ENOENT), an unmounted device ends the process (ENODEV)
      if (error.code === "EINTR" || error.code === "ENOENT" || error.code === "EAGAIN") next();
      else process.exit(0);
      return;
    }
    take(buffer.subarray(0, length));
    next();
  });
}

function take(request: Buffer): void {
  if (mode === "armed" && disk.pending >= pendingAtCut) freeze();
  if (mode === "frozen") held.push(Buffer.from(request));
  else answer(request);
}

function freeze(): void {
  clearTimeout(deadline);
  mode = "frozen";
  tell({ kind: "frozen" });
}

function answer(request: Buffer): void {
  const header = readHeader(request);
  switch (header.opcode) {
    case opcode.init:
      return reply(header.unique, 0, initBody());
    case opcode.lookup:
      return readName(request) === "disk" ? reply(header.unique, 0, entryBody(sizeBytes)) : reply(header.unique, errno.ENOENT);
    case opcode.getattr:
    case opcode.setattr:
      return reply(header.unique, 0, attributesBody(header.node === fileNode ? fileNode : header.node, sizeBytes));
    case opcode.open:
    case opcode.opendir:
      return reply(header.unique, 0, openBody());
    case opcode.read: {
      const { offset, size } = readExtent(request);
      return reply(header.unique, 0, disk.current.subarray(offset, Math.min(sizeBytes, offset + size)));
    }
    case opcode.write: {
      const { offset, size, bytes } = readExtent(request);
      disk.write(offset, bytes);
      return reply(header.unique, 0, writtenBody(size));
    }
    case opcode.fsync:
      disk.flush();
      return reply(header.unique, 0);
    case opcode.statfs:
      return reply(header.unique, 0, statfsBody());
    case opcode.flush:
    case opcode.release:
    case opcode.releasedir:
    case opcode.destroy:
      return reply(header.unique, 0);
    case opcode.forget:
    case opcode.batchForget:
    case opcode.interrupt:
      return;
    default:
      return reply(header.unique, errno.ENOSYS);
  }
}

function reply(unique: bigint, error: number, body?: Buffer): void {
  try {
    writevSync(device, makeReply(unique, error, body));
  } catch (failure) {
    // whoever asked has gone meanwhile
    if ((failure as NodeJS.ErrnoException).code !== "ENOENT") throw failure;
  }
}

function obey(order: z.infer<typeof command>): void {
  switch (order.kind) {
    case "arm":
      mode = "armed";
      pendingAtCut = order.pending;
      deadline = setTimeout(() => mode === "armed" && freeze(), order.withinMs);
      return;
    case "die":
      mode = "dead";
      disk.die();
      for (const request of held.splice(0)) answer(request);
      return tell({ kind: "died" });
    case "cut":
      mode = "live";
      return tell({ kind: "cut", report: disk.cut(new Random(order.seed)) });
    case "statistics":
      return tell({
        kind: "statistics",
        writes: disk.writes,
        flushes: disk.flushes,
        pending: disk.pending,
        durable: order.pattern === undefined ? false : disk.isDurable(Buffer.from(order.pattern)),
      });
  }
}

function tell(message: object): void {
  if (process.connected) process.send?.(message);
}
