import type { LinkAnswer, LinkRequest, Transport } from "../../gateway/link/transport.ts";
import { PlantgateError } from "../../protocol/index.ts";

/**
 * What a network does to one request. `lost`: it never arrives. `unanswered`: it arrives, its answer does not. `doubled`: it arrives twice.
 * `late`: given up by the sender, and it arrives all the same, behind others. `slow`: overtaken by others.
 */
export type Fate = "through" | "lost" | "unanswered" | "doubled" | "late" | "slow";

const lateMs = 60;
const slowMs = 25;

/** The gateway's own transport over a network that treats each request as the next of `fates` says; `calm` ends that. */
export class FaultyTransport {
  readonly #real: Transport;
  readonly #fates: readonly Fate[];
  readonly #ghosts = new Set<Promise<unknown>>();
  #next = 0;
  #cut = false;

  constructor(real: Transport, fates: readonly Fate[]) {
    this.#real = real;
    this.#fates = fates;
  }

  centralNow(): number | undefined {
    return this.#real.centralNow();
  }

  calm(): void {
    this.#next = Number.POSITIVE_INFINITY;
    this.#cut = false;
  }

  /** Nothing goes through, as long as that is so. */
  cut(cut: boolean): void {
    this.#cut = cut;
  }

  close(): void {
    this.#real.close();
  }

  /** Requests that were given up and are still on their way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#ghosts);
  }

  async send(request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer> {
    if (this.#cut) throw silence();
    const fate = this.#fates[this.#next % this.#fates.length];
    this.#next += 1;
    switch (fate) {
      case "lost":
        throw silence();
      case "unanswered":
        await this.#real.send(request, signal);
        throw silence();
      case "doubled":
        this.#ghost(request, 0);
        return this.#real.send(request, signal);
      case "late":
        this.#ghost(request, lateMs);
        throw silence();
      case "slow":
        await sleep(slowMs);
        return this.#real.send(request, signal);
      default:
        return this.#real.send(request, signal);
    }
  }

  #ghost(request: LinkRequest, afterMs: number): void {
    const ghost = sleep(afterMs)
      .then(() => this.#real.send(request, AbortSignal.timeout(5000)))
      .catch(() => {})
      .finally(() => this.#ghosts.delete(ghost));
    this.#ghosts.add(ghost);
  }
}

function silence(): PlantgateError {
  return new PlantgateError("PEER_UNREACHABLE", "central does not answer");
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
