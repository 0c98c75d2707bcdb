import { describeError, hasDisposition, type StatusReport } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { AgentDocuments, AgentState, StoredRevision } from "./documents.ts";

/** The agent's state: as it is, and as far as the disk lets it be noted. */
export class NotedState {
  readonly #documents: AgentDocuments;
  readonly #log: Logger;
  #current: AgentState;
  #isUnwritten = false;

  constructor(documents: AgentDocuments, log: Logger, state: AgentState) {
    this.#documents = documents;
    this.#log = log;
    this.#current = state;
  }

  get current(): AgentState {
    return this.#current;
  }

  /** What is on disk is an earlier one: `write` it again. */
  get isUnwritten(): boolean {
    return this.#isUnwritten;
  }

  /** On disk first: what follows from it may begin. `kept`: a bundle that an undone change needs again. @throws what the disk throws: it is as it was */
  async note(next: AgentState, kept?: StoredRevision): Promise<void> {
    await this.#documents.saveState(next, kept);
    this.#current = next;
    this.#isUnwritten = false;
  }

  /** It is so, whatever the disk says: noted now, or as soon as there is room. @throws PlantgateError DISK_FAILED */
  async write(next: AgentState = this.#current): Promise<void> {
    this.#current = next;
    try {
      await this.note(next);
    } catch (error) {
      if (hasDisposition(error, "crash")) throw error;
      if (!this.#isUnwritten)
        this.#log.error(
          { event: "agent.state.unwritten", reason: describeError(error) },
          "which configuration is in effect cannot be noted yet: a restart now would go by what was noted before",
        );
      this.#isUnwritten = true;
    }
  }
}

/** For a person; the wire takes so much. */
export function shortened(reason: string): string {
  return reason.slice(0, 4000);
}

export function isSame(a: StoredRevision | undefined, b: StoredRevision | undefined): boolean {
  return a !== undefined && b !== undefined && a.revision === b.revision && a.digest === b.digest;
}

export function toStored({ revision, digest }: StoredRevision): StoredRevision {
  return { revision, digest };
}

/** What central is told of a state, but for what runs. */
export function reportOf(
  { refused }: AgentState,
  running: StoredRevision | undefined,
  at: {
    readonly isChanging: boolean;
    readonly isWatched: boolean;
    readonly isUnreadable: boolean;
    readonly trouble: string | undefined;
  },
): StatusReport["configuration"] {
  const settled = at.isUnreadable ? "refused" : (refused?.how ?? (running ? "active" : "none"));
  const reason = [at.trouble, refused?.reason].filter((each) => each !== undefined).join("; ");
  return {
    reported: running?.revision ?? 0,
    ...(running ? { digest: running.digest } : {}),
    state: at.isChanging ? "applying" : at.isWatched ? "watching" : settled,
    ...(reason === "" ? {} : { reason: shortened(reason) }),
    ...(refused ? { refused: { revision: refused.revision, digest: refused.digest } } : {}),
  };
}
