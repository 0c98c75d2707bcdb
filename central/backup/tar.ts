import { PlantgateError } from "../../protocol/index.ts";

/** One file of an archive, before its content. */
export interface TarEntry {
  readonly name: string;
  readonly bytes: number;
}

const block = 512;

/** The header of a plain file in POSIX ustar, readable by its owner alone; sizes past 8 GiB as GNU and POSIX tools read them (base-256). */
export function tarHeader({ name, bytes }: TarEntry, at: number): Buffer {
  const header = Buffer.alloc(block);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;
  header.write(name, 0, 100, "utf8");
  header.write(octal(0o600, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  if (bytes < 8 ** 11) header.write(octal(bytes, 11), 124);
  else {
    header[124] = 0x80;
    header.writeBigUInt64BE(BigInt(bytes), 128);
  }
  header.write(octal(Math.floor(at / 1000), 11), 136);
  header.write("0", 156);
  header.write("ustar\x0000", 257, "latin1");
  header.fill(" ", 148, 156);
  header.write(`${octal(sumOf(header), 6)} `, 148);
  return header;
}

/** What follows a file's content, up to the next block. */
export function tarPadding(bytes: number): Buffer {
  return Buffer.alloc((block - (bytes % block)) % block);
}

export const tarEnd: Buffer = Buffer.alloc(2 * block);

/**
 * Reads an archive in one pass: `begin` is told of each file, what it returns of its content, in pieces, and then of its end.
 * @throws PlantgateError INPUT_INVALID where it is no archive of plain files, or ends too early
 */
export async function readTar(
  pieces: AsyncIterable<Buffer>,
  begin: (entry: TarEntry) => { write(piece: Buffer): void | Promise<void>; end(): void | Promise<void> },
): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  let open: { left: number; skip: number; sink: ReturnType<typeof begin> } | undefined;
  let ended = false;
  for await (const piece of pieces) {
    rest = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    for (;;) {
      if (open && open.left > 0) {
        const part = rest.subarray(0, open.left);
        if (part.length === 0) break;
        rest = rest.subarray(part.length);
        open.left -= part.length;
        await open.sink.write(part);
        if (open.left === 0) await open.sink.end();
        continue;
      }
      if (open) {
        if (rest.length < open.skip) break;
        rest = rest.subarray(open.skip);
        open = undefined;
      }
      if (rest.length < block) break;
      const header = rest.subarray(0, block);
      rest = rest.subarray(block);
      if (header.every((byte) => byte === 0)) {
        ended = true;
        continue;
      }
      if (ended) throw broken("something follows its end");
      const entry = parseHeader(header);
      const sink = begin(entry);
      open = { left: entry.bytes, skip: tarPadding(entry.bytes).length, sink };
      if (entry.bytes === 0) await sink.end();
    }
  }
  if (!ended || open || rest.length > 0) throw broken("it ends too early");
}

function parseHeader(header: Buffer): TarEntry {
  const told = Number.parseInt(header.toString("latin1", 148, 156).replaceAll("\0", " ").trim(), 8);
  const summed = Buffer.from(header);
  summed.fill(" ", 148, 156);
  if (told !== sumOf(summed) || header.toString("latin1", 257, 262) !== "ustar") throw broken("a header in it is damaged");
  if (header[156] !== 0x30 && header[156] !== 0) throw broken("it holds something else than plain files");
  const name = header.toString("utf8", 0, 100).replace(/\0.*$/s, "");
  const bytes =
    header[124] === 0x80
      ? Number(header.readBigUInt64BE(128))
      : Number.parseInt(header.toString("latin1", 124, 135).replaceAll("\0", " ").trim(), 8);
  if (!Number.isSafeInteger(bytes)) throw broken("a header in it is damaged");
  return { name, bytes };
}

function sumOf(header: Buffer): number {
  return header.reduce((sum, byte) => sum + byte, 0);
}

function broken(why: string): PlantgateError {
  return new PlantgateError("INPUT_INVALID", `it is no whole backup: ${why}`);
}
