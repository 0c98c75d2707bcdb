const magic = 0xfd2fb528;
const [blockHeaderBytes, checksumBytes] = [3, 4];
const dictionaryBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;
const [rle, reserved] = [1, 3];

/**
 * How many of the bytes given are whole zstd frames, one behind the other. Asked because Node's decoder stops at what is no frame without a
 * word: what a sender put there would hide all that is joined to it. Node's encoder itself ends a text with an empty frame where its output
 * fills a buffer exactly.
 */
export function zstdBytes(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let whole = 0;
  for (let end = frameEnd(view, 0); end !== undefined; end = frameEnd(view, end)) whole = end;
  return whole;
}

/** Where the frame ends that begins there (RFC 8878, 3.1.1); undefined where none does, or it is not all there. */
function frameEnd(view: DataView, start: number): number | undefined {
  if (view.byteLength < start + 5 || view.getUint32(start, true) !== magic) return undefined;
  const descriptor = view.getUint8(start + 4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSize = contentSizeBytes[(descriptor >> 6) as 0 | 1 | 2 | 3] || (singleSegment ? 1 : 0);
  let at = start + 5 + (singleSegment ? 0 : 1) + dictionaryBytes[(descriptor & 3) as 0 | 1 | 2 | 3] + contentSize;
  for (let last = false; !last; ) {
    if (at + blockHeaderBytes > view.byteLength) return undefined;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    last = (header & 1) === 1;
    const type = (header >> 1) & 3;
    if (type === reserved) return undefined;
    at += blockHeaderBytes + (type === rle ? 1 : header >> 3);
  }
  if ((descriptor & 4) !== 0) at += checksumBytes;
  return at <= view.byteLength ? at : undefined;
}
