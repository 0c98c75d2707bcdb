import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./folder.ts";
import { requireService } from "./services.ts";
import { parseStrace, type Syscall } from "./strace-log.ts";

export interface Violation {
  /** "PUBACK 7", "PUBREC 7" or "HTTP 202". */
  readonly acknowledgement: string;
  readonly reason: string;
}
export interface OrderReport {
  /** Acknowledgements that were looked at: a check of none proves nothing. */
  readonly checked: number;
  readonly violations: readonly Violation[];
}

const reads = new Set(["read", "readv", "recvfrom", "recvmsg"]);
const writes = new Set(["write", "writev", "sendto", "sendmsg"]);
const syncs = new Set(["fsync", "fdatasync"]);

/** Something on one connection, at a line of the log. */
interface Sight {
  readonly name: string;
  readonly at: number;
  /** Of an HTTP request. */
  readonly path?: string;
}

/**
 * Whether each acknowledgement (PUBACK, PUBREC, HTTP 2xx) left only after an fsync or fdatasync of a file below `folder` that began
 * when the message had been read and ended, well, before the acknowledgement was written (P1). Of HTTP only paths that match count. Says that a flush was made in between,
 * not that it held this message: with one message at a time it is the same.
 */
export function checkSyscallOrder(calls: readonly Syscall[], folder: string, paths = /^/): OrderReport {
  const flushes = calls.filter((call) => syncs.has(call.name) && call.result === 0 && isBelow(call.descriptor, folder));
  const violations: Violation[] = [];
  let checked = 0;
  for (const descriptor of new Set(calls.map((call) => call.descriptor).filter((text) => text.includes("<TCP")))) {
    const own = calls.filter((call) => call.descriptor === descriptor && call.result > 0);
    // our own requests to other servers
    if (own.some(({ name, bytes }) => reads.has(name) && bytes.toString("latin1").startsWith("HTTP/1"))) continue;
    const asked = requestsIn(own.filter(({ name }) => reads.has(name)).map(({ bytes, end }) => ({ bytes, at: end })));
    const answered = answersIn(own.filter(({ name }) => writes.has(name)).map(({ bytes, begin }) => ({ bytes, at: begin })));
    for (const answer of answered) {
      const place = asked.findIndex(({ name, at }) => name === answer.request && at <= answer.at);
      if (place < 0) continue;
      const [request] = asked.splice(place, 1);
      if (answer.name.startsWith("HTTP") && !(answer.name.startsWith("HTTP 2") && paths.test(request?.path ?? ""))) continue;
      checked += 1;
      const from = request?.at ?? 0;
      if (flushes.some(({ begin, end }) => begin > from && end < answer.at)) continue;
      violations.push({
        acknowledgement: answer.name,
        reason: `nothing below ${folder} was flushed between lines ${from + 1} and ${answer.at + 1} of the log`,
      });
    }
  }
  return { checked, violations };
}

interface Chunk {
  readonly bytes: Buffer;
  readonly at: number;
}

function requestsIn(chunks: readonly Chunk[]): Sight[] {
  if (isHttp(chunks, /^[A-Z]+ \//))
    return chunks.flatMap(({ bytes, at }) => {
      const path = /^[A-Z]+ (\/\S*) HTTP\/1/.exec(bytes.toString("latin1"))?.[1];
      return path === undefined ? [] : [{ name: "request", at, path }];
    });
  return packetsIn(chunks).flatMap(({ first, body, at }) => {
    const qos = (first >> 1) & 3;
    if (first >> 4 !== 3 || qos === 0) return [];
    return [{ name: `publish ${body.readUInt16BE(2 + body.readUInt16BE(0))}`, at }];
  });
}

function answersIn(chunks: readonly Chunk[]): (Sight & { readonly request: string })[] {
  if (isHttp(chunks, /^HTTP\/1/)) {
    return chunks.flatMap(({ bytes, at }) => {
      const status = /^HTTP\/1\.1 (\d\d\d)/.exec(bytes.toString("latin1"))?.[1];
      return status === undefined ? [] : [{ name: `HTTP ${status}`, request: "request", at }];
    });
  }
  return packetsIn(chunks).flatMap(({ first, body, at }) => {
    const name = { 4: "PUBACK", 5: "PUBREC" }[first >> 4];
    return name === undefined
      ? []
      : [{ name: `${name} ${body.readUInt16BE(0)}`, request: `publish ${body.readUInt16BE(0)}`, at }];
  });
}

function isHttp(chunks: readonly Chunk[], start: RegExp): boolean {
  return start.test(chunks[0]?.bytes.toString("latin1") ?? "");
}

/** MQTT packets of a stream; `at` is the line that brought the last byte of each. */
function packetsIn(chunks: readonly Chunk[]): { first: number; body: Buffer; at: number }[] {
  const packets: { first: number; body: Buffer; at: number }[] = [];
  let rest: Buffer = Buffer.alloc(0);
  for (const { bytes, at } of chunks) {
    rest = Buffer.concat([rest, bytes]);
    for (let size = sizeOf(rest); size !== undefined && rest.length >= size.head + size.body; size = sizeOf(rest)) {
      packets.push({ first: rest[0] ?? 0, body: rest.subarray(size.head, size.head + size.body), at });
      rest = rest.subarray(size.head + size.body);
    }
  }
  return packets;
}

function sizeOf(bytes: Buffer): { head: number; body: number } | undefined {
  let body = 0;
  for (let at = 1; at <= 4; at++) {
    const byte = bytes[at];
    if (byte === undefined) return undefined;
    body += (byte & 0x7f) * 128 ** (at - 1);
    if ((byte & 0x80) === 0) return { head: at + 1, body };
  }
  return undefined;
}

function isBelow(descriptor: string, folder: string): boolean {
  const path = /^\d+<(\/.*)>$/.exec(descriptor)?.[1];
  return path?.startsWith(folder.endsWith("/") ? folder : `${folder}/`) ?? false;
}

export interface Traced {
  readonly child: ChildProcess;
  /** Ends the process when it still runs, and judges its log. */
  report(folder: string): Promise<OrderReport>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What strace is told, so that its log can be judged. */
export function straceFlags(log: string): string[] {
  const names = [...reads, ...writes, ...syncs].join(",");
  return ["-f", "-yy", "-x", "-s", "1048576", "-e", `trace=${names}`, "-e", "signal=none", "-o", log];
}

/** Runs a command and all its threads under strace; give it little to do, each call is stopped twice. */
export async function startTraced(command: readonly string[], options: { env?: Record<string, string> } = {}): Promise<Traced> {
  const strace = await requireService("strace");
  if (!strace) throw new Error("strace is missing");
  const folder = temporaryFolder();
  const log = join(folder.path, "strace.log");
  const child = spawn(strace, [...straceFlags(log), ...command], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...options.env },
  });
  const ended = once(child, "close");
  const end = async (): Promise<void> => {
    // strace passes SIGTERM on to nobody: the traced process ends when its input does, else with strace
    child.stdin?.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), 8000);
    await ended;
    clearTimeout(timer);
  };
  return {
    child,
    async report(below) {
      await end();
      return checkSyscallOrder(parseStrace(readFileSync(log, "utf8")), below);
    },
    async [Symbol.asyncDispose]() {
      await end();
      folder[Symbol.dispose]();
    },
  };
}
