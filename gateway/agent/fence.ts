import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { type Clock, describeError } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";
import { isNoRoom, writeFlushed } from "../write-flushed.ts";
import type { AgentDocuments, AgentState } from "./documents.ts";

/** One block: it is there before it is needed, so that a full disk can be told as well. */
const sizeBytes = 4096;
const maxReasonLength = 1000;
const retryMs = 1000;

/** What a mark holds that was torn while it was written: whatever stood there, somebody fenced us. */
const unreadable = "another gateway ran as this site; the note of it cannot be read";

/**
 * Whether this gateway was fenced, in a file of its own: it outlives a damaged `agent.db`, and it is written over in place, which asks a full
 * disk for no room. Blank: not fenced. Anything else is a fence, so a torn mark errs on the side of silence (rule 5).
 */
export class FenceMark {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** Makes the file where it is missing; a disk that is full already is asked again when there is something to note. */
  static open(file: string): FenceMark {
    const mark = new FenceMark(file);
    try {
      if (!existsSync(file)) mark.#write("");
    } catch (error) {
      if (!isNoRoom(error)) throw error;
    }
    return mark;
  }

  /** A fence that an earlier version noted with the agent's state moves here. @returns the state without it */
  async takeFrom(documents: Pick<AgentDocuments, "state" | "saveState">): Promise<Omit<AgentState, "fenced">> {
    const { fenced, ...state } = await documents.state();
    if (fenced !== undefined) {
      this.set(fenced);
      await documents.saveState(state);
    }
    return state;
  }

  get reason(): string | undefined {
    return readFence(this.#file);
  }

  /** Flushed on return. */
  set(reason: string): void {
    this.#write(JSON.stringify({ reason: reason.slice(0, maxReasonLength) }));
  }

  /** A person decided that this gateway is the real one. Flushed on return. */
  clear(): void {
    this.#write("");
  }

  /** As {@link set}, until the disk lets it or the signal aborts. */
  async keep(reason: string, { clock, log }: { clock: Clock; log: Logger }, signal: AbortSignal): Promise<void> {
    for (let told = false; !signal.aborted; told = true) {
      try {
        return this.set(reason);
      } catch (error) {
        if (!told)
          log.error(
            { event: "agent.fence.delayed", reason: describeError(error) },
            "that this gateway was fenced cannot be noted yet: a restart now would forget it",
          );
        await clock.sleep(retryMs, signal);
      }
    }
  }

  #write(text: string): void {
    const block = Buffer.alloc(sizeBytes, " ");
    block.write(text);
    if (!existsSync(this.#file)) return writeFlushed(this.#file, block);
    const handle = openSync(this.#file, "r+");
    try {
      writeSync(handle, block, 0, sizeBytes, 0);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  }
}

/** Whoever enrolls a folder says that its gateway is the site's. Flushed on return. */
export function liftFence(file: string): void {
  if (readFence(file) !== undefined) FenceMark.open(file).clear();
}

/** Why a gateway was fenced, as its mark has it; undefined where it was not. Only looks. */
export function readFence(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8").trim();
  if (text === "") return undefined;
  try {
    return (JSON.parse(text) as { reason?: string }).reason ?? unreadable;
  } catch {
    return unreadable;
  }
}
