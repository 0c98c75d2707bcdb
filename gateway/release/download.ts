import { backoff, type Clock, describeError, PlantgateError, type ReleaseOffer } from "../../protocol/index.ts";
import { ByteRate } from "../link/byte-rate.ts";
import { askedToWaitMs } from "../link/pauses.ts";
import type { LinkAnswer, LinkRequest } from "../link/transport.ts";
import type { DiskReport } from "../queue/change.ts";
import type { Logger } from "../telemetry/logger.ts";
import { isNoRoom } from "../write-flushed.ts";
import type { Incoming } from "./incoming.ts";

export interface DownloadDeps {
  readonly site: string;
  readonly incoming: Incoming;
  readonly session: { online(signal: AbortSignal): Promise<unknown> };
  /** Not within the session: what stands in the way of a package ends no link. */
  readonly transport: { send(request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer> };
  readonly disk: () => Promise<DiskReport>;
  /** Whether transactions wait for central. */
  readonly isBehind: () => Promise<boolean>;
  /** What the configuration allows on the way to central; undefined: it sets no limit. */
  readonly bytesPerSecond: () => number | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Of one request: it is in memory whole, and what is lost with a link that breaks. */
const pieceBytes = 256 * 1024;
const leastPieceBytes = 16 * 1024;
/** A piece that did not come so often is halved: on a way this unsteady a smaller one is whole before it breaks. */
const failedBeforeHalf = 2;
/** What was not cut, and yet not whole after so long, comes on a slow way: the smallest piece is what gets through, without trying all between. */
const slowMs = 60_000;
/** Pieces in a row after which a larger one is tried again. */
const cameBeforeDouble = 32;
/** Central gives something else than what it announced: so often it may be chance. */
const mostWrong = 3;
/** What the full-disk ladder keeps free before samples make room for each other. */
const keptFree = { bytes: 512 * 1024 * 1024, share: 10 } as const;
/** Transactions pass first (P7), for so long at a time: what does not move says nothing of a package. */
const patienceMs = 30_000;
const lookEveryMs = 500;
const roomEveryMs = 5000;

export type Downloaded = { readonly kind: "whole" } | { readonly kind: "refused"; readonly reason: string };

/**
 * Fetches a package piece by piece, each flushed before the next is asked for: a start goes on behind the last one. It is on disk under its name only
 * when it is what central said of it.
 * @param waits told why nothing comes, or undefined when something does
 */
export async function download(
  deps: DownloadDeps,
  offer: ReleaseOffer,
  waits: (why: string | undefined) => void,
  signal: AbortSignal,
): Promise<Downloaded | undefined> {
  const { incoming, clock, log } = deps;
  const { file, size, sha256 } = offer;
  const rate = new ByteRate(clock);
  const sizes = new PieceSize();
  let delays = backoff({ baseMs: 1000, capMs: 60_000 });
  for (let [wrong, askedAt] = [0, 0]; !signal.aborted; ) {
    try {
      if (!incoming.isWhole(file) && incoming.received(file) < size) {
        if (!(await mayGo(deps, offer, rate, waits, signal))) return undefined;
        askedAt = clock.monotonic();
        await fetchPiece(deps, offer, rate, sizes.bytes, signal);
        sizes.came();
        waits(undefined);
        delays = backoff({ baseMs: 1000, capMs: 60_000 });
        continue;
      }
      const name = incoming.isWhole(file) ? file : `${file}.part`;
      if (incoming.received(file) > size || (await incoming.sha256(name)) !== sha256) {
        incoming.drop(file);
        throw new PlantgateError("PEER_REFUSED", `what came of ${file} is not what its SHA-256 says`);
      }
      if (name !== file) incoming.finish(file);
      return { kind: "whole" };
    } catch (error) {
      if (signal.aborted) return undefined;
      const isDiskFull = isNoRoom(error);
      if (!isDiskFull && (!(error instanceof PlantgateError) || error.disposition === "crash")) throw error;
      const reason = describeError(error);
      if (error instanceof PlantgateError && error.code === "PEER_REFUSED") wrong += 1;
      if (wrong >= mostWrong) {
        incoming.drop(file);
        return { kind: "refused", reason };
      }
      if (error instanceof PlantgateError && error.code === "PEER_UNREACHABLE") sizes.failed(clock.monotonic() - askedAt);
      // the room that a part takes is for messages
      if (isDiskFull) incoming.drop(file);
      waits(reason);
      log.debug({ event: "release.piece.failed", file, reason }, "a package does not come, tried again");
      await clock.sleep(askedToWaitMs(error) ?? delays.next().value, signal);
    }
  }
  return undefined;
}

/** How much is asked for at once, by how it went. */
class PieceSize {
  bytes = pieceBytes;
  #came = 0;
  #failed = 0;

  came(): void {
    this.#failed = 0;
    this.#came += 1;
    if (this.#came % cameBeforeDouble === 0) this.bytes = Math.min(pieceBytes, this.bytes * 2);
  }

  failed(afterMs: number): void {
    this.#came = 0;
    this.#failed += 1;
    if (afterMs >= slowMs) this.bytes = leastPieceBytes;
    else if (this.#failed % failedBeforeHalf === 0) this.bytes = Math.max(leastPieceBytes, this.bytes / 2);
  }
}

async function fetchPiece(
  { incoming, site, transport }: DownloadDeps,
  offer: ReleaseOffer,
  rate: ByteRate,
  most: number,
  signal: AbortSignal,
): Promise<void> {
  const { file, size } = offer;
  const from = incoming.received(file);
  const wanted = Math.min(size - from, pieceOf(rate.perSecond, most));
  const answer = await transport.send(
    {
      method: "GET",
      path: `/v1/sites/${encodeURIComponent(site)}/releases/${encodeURIComponent(file)}`,
      headers: { range: `bytes=${from}-${from + wanted - 1}`, accept: "application/octet-stream, application/problem+json" },
      silenceMs: 30_000,
      mostBytes: pieceBytes,
    },
    signal,
  );
  if (answer.kind === "problem") {
    const context = answer.retryAfterMs === undefined ? {} : { waitMs: answer.retryAfterMs };
    throw new PlantgateError("PEER_BUSY", answer.problem.detail ?? answer.problem.title, { context });
  }
  const { bytes } = answer;
  if (answer.status !== 206 || bytes?.length !== wanted)
    throw new PlantgateError(
      "PEER_REFUSED",
      `central gave ${bytes?.length ?? 0} bytes of ${file} (${answer.status}), ${wanted} were asked for`,
    );
  rate.took(wanted);
  await incoming.append(file, bytes);
}

function pieceOf(perSecond: number | undefined, most: number): number {
  return Math.max(leastPieceBytes, Math.min(most, perSecond ?? most));
}

/** Waits until a piece may come: a link, room on disk, transactions that have passed, and the limit of the way. @returns false where the signal aborts */
async function mayGo(
  deps: DownloadDeps,
  { file, size }: ReleaseOffer,
  rate: ByteRate,
  waits: (why: string | undefined) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const { incoming, session, clock } = deps;
  for (;;) {
    await session.online(signal);
    if (signal.aborted) return false;
    const { state, freeBytes } = await deps.disk();
    const left = size - incoming.received(file);
    const kept = Math.min(keptFree.bytes, Math.floor(incoming.diskBytes() / keptFree.share));
    if (state === "ok" && freeBytes >= left + kept) break;
    // messages are refused already: they need what it takes
    if (state === "refusing" || state === "bulk-refused") incoming.drop(file);
    waits(`the disk has no room for it: ${Math.ceil((left + kept - freeBytes) / 1e6)} MB are missing`);
    await clock.sleep(roomEveryMs, signal);
  }
  const until = clock.monotonic() + patienceMs;
  while (!signal.aborted && clock.monotonic() < until && (await deps.isBehind())) await clock.sleep(lookEveryMs, signal);
  rate.configure(deps.bytesPerSecond());
  for (let ms = rate.waitMs(); ms > 0 && !signal.aborted; ms = rate.waitMs()) await clock.sleep(ms, signal);
  return !signal.aborted;
}
