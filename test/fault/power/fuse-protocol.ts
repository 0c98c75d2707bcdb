/** The part of the kernel's file system protocol that one file needs (linux/fuse.h, protocol 7.36; little endian). */

export const opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  opendir: 27,
  releasedir: 29,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
} as const;

export const errno = { ENOENT: -2, EIO: -5, ENOSYS: -38 } as const;

export const rootNode = 1;
export const fileNode = 2;
export const maxWriteBytes = 1024 * 1024;
/** A request has at most one write's bytes and its headers. */
export const requestBytes = maxWriteBytes + 64 * 1024;

const headerBytes = 40;
const initFlags = { asyncRead: 1 << 0, bigWrites: 1 << 5, parallelDirops: 1 << 18, maxPages: 1 << 22 };
const openDirectIo = 1;
const forEverSeconds = 86_400n;

export interface RequestHeader {
  readonly opcode: number;
  readonly unique: bigint;
  readonly node: number;
}

export function readHeader(request: Buffer): RequestHeader {
  return {
    opcode: request.readUInt32LE(4),
    unique: request.readBigUInt64LE(8),
    node: Number(request.readBigUInt64LE(16)),
  };
}

/** The name that a LOOKUP asks for. */
export function readName(request: Buffer): string {
  return request.subarray(headerBytes, request.length - 1).toString();
}

/** Where a READ or WRITE goes; `bytes` of a WRITE is a view of the request. */
export function readExtent(request: Buffer): { offset: number; size: number; bytes: Buffer } {
  const offset = Number(request.readBigUInt64LE(headerBytes + 8));
  const size = request.readUInt32LE(headerBytes + 16);
  return { offset, size, bytes: request.subarray(headerBytes + 40, headerBytes + 40 + size) };
}

/** The two parts of an answer, to be written in one call. */
export function makeReply(unique: bigint, error: number, body?: Buffer): Buffer[] {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + (body?.length ?? 0), 0);
  header.writeInt32LE(error, 4);
  header.writeBigUInt64LE(unique, 8);
  return body === undefined ? [header] : [header, body];
}

export function initBody(): Buffer {
  const body = Buffer.alloc(64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(36, 4);
  body.writeUInt32LE(128 * 1024, 8);
  body.writeUInt32LE(initFlags.asyncRead | initFlags.bigWrites | initFlags.parallelDirops | initFlags.maxPages, 12);
  body.writeUInt16LE(64, 16);
  body.writeUInt16LE(48, 18);
  body.writeUInt32LE(maxWriteBytes, 20);
  body.writeUInt32LE(1, 24);
  body.writeUInt16LE(maxWriteBytes / 4096, 28);
  return body;
}

export function entryBody(sizeBytes: number): Buffer {
  const body = Buffer.alloc(128);
  body.writeBigUInt64LE(BigInt(fileNode), 0);
  body.writeBigUInt64LE(forEverSeconds, 16);
  body.writeBigUInt64LE(forEverSeconds, 24);
  writeAttributes(body, 40, fileNode, sizeBytes);
  return body;
}

export function attributesBody(node: number, sizeBytes: number): Buffer {
  const body = Buffer.alloc(104);
  body.writeBigUInt64LE(forEverSeconds, 0);
  writeAttributes(body, 16, node, sizeBytes);
  return body;
}

/** Direct: the kernel keeps no pages of the file, each write and each flush comes through. */
export function openBody(): Buffer {
  const body = Buffer.alloc(16);
  body.writeBigUInt64LE(1n, 0);
  body.writeUInt32LE(openDirectIo, 8);
  return body;
}

export function writtenBody(size: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(size, 0);
  return body;
}

export function statfsBody(): Buffer {
  const body = Buffer.alloc(80);
  body.writeUInt32LE(4096, 40);
  body.writeUInt32LE(255, 44);
  body.writeUInt32LE(4096, 48);
  return body;
}

function writeAttributes(body: Buffer, at: number, node: number, sizeBytes: number): void {
  const isRoot = node === rootNode;
  body.writeBigUInt64LE(BigInt(node), at);
  body.writeBigUInt64LE(isRoot ? 0n : BigInt(sizeBytes), at + 8);
  body.writeBigUInt64LE(isRoot ? 0n : BigInt(sizeBytes / 512), at + 16);
  body.writeUInt32LE(isRoot ? 0o40700 : 0o100600, at + 60);
  body.writeUInt32LE(1, at + 64);
  body.writeUInt32LE(4096, at + 80);
}
