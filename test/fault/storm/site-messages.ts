import { createHash, randomUUID } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import type { Lane } from "../../../protocol/index.ts";
import { pick, sample } from "../../support/messages.ts";

/** One POST of the uplink. */
export interface Parcel {
  readonly firstSequence: number;
  readonly count: number;
  readonly chain: string;
  /** `Plantgate-Frames` */
  readonly frames: string;
  readonly body: Buffer;
}

/** A lane with all that waits in it. */
export interface Backlog {
  readonly lane: Lane;
  readonly epoch: string;
  readonly last: number;
  readonly parcels: readonly Parcel[];
}

const marks = { id: "00000000-0000-4000-8000-000000000000", number: "987654321" } as const;

/** Lines of one lane as fast as text can be made: an event of the real type, with id and number put in. */
function lineMaker(site: string, lane: Lane): (n: number) => string {
  const event =
    lane === "telemetry"
      ? sample(site, Number(marks.number), { id: marks.id })
      : pick(site, marks.number, { id: marks.id, moId: `${site}-mo-${marks.number}` });
  const parts = JSON.stringify(event).split(new RegExp(`(${marks.id}|${marks.number})`));
  return (n) => parts.map((part) => (part === marks.id ? `${lane}-${n}` : part === marks.number ? String(n) : part)).join("");
}

/** A backlog of `parcels` batches of `frames` frames each, as a gateway has it on disk. */
export function backlogOf(site: string, lane: Lane, options: { parcels: number; frames: number; messages: number }): Backlog {
  const line = lineMaker(site, lane);
  const epoch = randomUUID();
  let chain = createHash("sha256").update(`plantgate-chain:${site}:${lane}:${epoch}`).digest();
  let next = 1;
  const parcels: Parcel[] = [];
  for (let parcel = 0; parcel < options.parcels; parcel++) {
    const firstSequence = next;
    const frames: Buffer[] = [];
    for (let frame = 0; frame < options.frames; frame++) {
      const lines = Array.from({ length: options.messages }, (_, index) => `${line(next + index)}\n`);
      const bytes = zstdCompressSync(lines.join(""));
      chain = createHash("sha256").update(chain).update(bytes).digest();
      frames.push(bytes);
      next += options.messages;
    }
    parcels.push({
      firstSequence,
      count: next - firstSequence,
      chain: chain.toString("hex"),
      frames: frames.map((bytes) => `${options.messages}/${bytes.length}`).join(","),
      body: Buffer.concat(frames),
    });
  }
  return { lane, epoch, last: next - 1, parcels };
}
