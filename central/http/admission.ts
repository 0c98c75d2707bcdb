import type { Clock, Lane } from "../../protocol/index.ts";

export interface AdmissionDeps {
  readonly clock: Pick<Clock, "monotonic">;
  /** How far apart batches are answered lately, and how late the process is with everything, in ms. */
  readonly load: () => { readonly batchMs: number; readonly lagMs: number };
  readonly random?: () => number;
}
export type Admission =
  /**
   * `arrived`: its body is here. `release`: it is answered; one that comes back soon, as its predecessor was refused, is then let in like
   * a refused one.
   */
  | { readonly kind: "admitted"; readonly arrived: () => void; readonly release: (comesBack: boolean) => void }
  /** `limited`: this site has more than its share. `busy`: central has all that it can take. */
  | { readonly kind: "limited" | "busy"; readonly retryAfterSeconds: number };

/** Bodies of batches that are in memory at once, by their announced length; what one site may have of them (rule 21). */
const totalBytes = 64 * 1024 * 1024;
const siteBytes = totalBytes / 8;
/** Of them, kept for live facts: no slow upload of a backlog stands in their way (P7). */
const factBytes = totalBytes / 8;
const factBatchBytes = 256 * 1024;
/** Batches in work at once: of a lane, of a site. */
const laneBatches = 4;
const siteBatches = 8;
/** Whoever would wait longer is refused, so that whoever is admitted is answered soon. */
const maxWaitMs = 300;
/** What has not arrived by then comes over a slow link, and waits for nobody but its own sender. */
const arrivesWithinMs = 200;
const manyBatches = 16;
/** Over so long refusals are counted: so many come back. */
const windowMs = 10_000;
/** Those who come back have all of central's time but this part of it. */
const spareTime = 2;
const maxSpreadSeconds = 60;

/** A batch before its body is read. */
export interface Announced {
  readonly site: string;
  readonly lane: Lane;
  readonly firstSequence: number;
  readonly bytes: number;
}

/** A batch that was admitted: on its way, in work, or on a slow way. */
interface Admitted {
  readonly at: number;
  state: "arriving" | "arrived" | "late" | "released";
}

interface SiteShare {
  bytes: number;
  batches: number;
  readonly lanes: Map<Lane, number>;
}

/**
 * Admits batches before their bodies are read, so that a storm of returning plants meets push-back and not memory, and one plant's replay
 * never takes what others need. Who is refused is told when to come back, the later and the wider spread the more were refused lately,
 * and is then let in before those who come first.
 */
export class Admissions {
  readonly #deps: AdmissionDeps;
  readonly #sites = new Map<string, SiteShare>();
  /** When batches were refused that did not come back yet, by where they begin. */
  readonly #refused = new Map<string, number>();
  /** The first batch of a lane that was refused, and when it was told to come back. */
  readonly #heads = new Map<string, { readonly firstSequence: number; readonly backAt: number }>();
  #bytes = 0;
  /** Batches that are in work, or will be in a moment. */
  #batches = 0;
  /** The oldest first. */
  #arriving: Admitted[] = [];

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
  }

  admit({ site, lane, firstSequence, bytes }: Announced): Admission {
    const batch = `${site}/${lane}/${firstSequence}`;
    const share = this.#sites.get(site) ?? { bytes: 0, batches: 0, lanes: new Map<Lane, number>() };
    const inLane = share.lanes.get(lane) ?? 0;
    if (inLane >= laneBatches || share.batches >= siteBatches || share.bytes + bytes > siteBytes)
      return { kind: "limited", retryAfterSeconds: this.#spread(1) };
    const returns = this.#refused.has(batch);
    const head = this.#headOf(site, lane, firstSequence);
    // behind one that was refused it could only wait for it
    if (head && !returns) return this.#refuse(batch, head.backAt);
    // a part is kept for those who were refused before, and no backlog keeps them out a second time
    const isFact = lane === "transaction" && bytes <= factBatchBytes;
    const most = totalBytes - (isFact ? 0 : factBytes) - (returns ? 0 : totalBytes / 8);
    if (this.#bytes + bytes > most) return this.#refuse(batch);
    if (!returns && this.#waitMs() > maxWaitMs) {
      const refusal = this.#refuse(batch);
      const backAt = this.#deps.clock.monotonic() + refusal.retryAfterSeconds * 1000;
      this.#heads.set(`${site}/${lane}`, { firstSequence, backAt });
      return refusal;
    }
    this.#refused.delete(batch);
    this.#count(site, share, lane, bytes, 1);
    const admitted: Admitted = { at: this.#deps.clock.monotonic(), state: "arriving" };
    this.#arriving.push(admitted);
    this.#batches += 1;
    const arrived = (): void => {
      if (admitted.state === "late") this.#batches += 1;
      if (admitted.state !== "released") admitted.state = "arrived";
    };
    const release = (comesBack: boolean): void => {
      if (admitted.state === "released") return;
      if (admitted.state !== "late") this.#batches -= 1;
      admitted.state = "released";
      this.#count(site, share, lane, -bytes, -1);
      if (comesBack) this.#refused.set(batch, this.#deps.clock.monotonic());
    };
    return { kind: "admitted", arrived, release };
  }

  /** More plants than a few are at it at once: what can wait should. */
  get pressed(): boolean {
    return this.#inWork() >= manyBatches;
  }

  /** When a site should come back that was refused for a reason of its own backlog. */
  retryAfterSeconds(): number {
    return this.#spread(5);
  }

  /** The refused batch that one of its lane is behind; none once that one came back, or did not when it should have. */
  #headOf(site: string, lane: Lane, firstSequence: number): { readonly backAt: number } | undefined {
    const key = `${site}/${lane}`;
    const head = this.#heads.get(key);
    if (head && firstSequence > head.firstSequence && this.#deps.clock.monotonic() < head.backAt) return head;
    this.#heads.delete(key);
    return undefined;
  }

  /** @param backAt when it should come back; else as the load has it */
  #refuse(batch: string, backAt?: number): Admission & { readonly kind: "busy" } {
    const now = this.#deps.clock.monotonic();
    this.#refused.set(batch, now);
    if (backAt !== undefined) return { kind: "busy", retryAfterSeconds: Math.max(1, Math.ceil((backAt - now) / 1000)) };
    let lately = 0;
    for (const [other, at] of this.#refused) {
      if (now - at > windowMs + maxSpreadSeconds * 1000) this.#refused.delete(other);
      else if (now - at <= windowMs) lately++;
    }
    const { batchMs } = this.#deps.load();
    return { kind: "busy", retryAfterSeconds: this.#spread((this.#waitMs() + lately * batchMs * spareTime) / 1000) };
  }

  /** A process that is late with few batches in work is late with something else, which is soon over. */
  #waitMs(): number {
    const { batchMs, lagMs } = this.#deps.load();
    const batches = this.#inWork();
    return batches < manyBatches ? batches * batchMs : batches * batchMs + lagMs;
  }

  #inWork(): number {
    const since = this.#deps.clock.monotonic() - arrivesWithinMs;
    while (this.#arriving[0] && (this.#arriving[0].state !== "arriving" || this.#arriving[0].at < since)) {
      const admitted = this.#arriving.shift();
      if (admitted?.state !== "arriving") continue;
      admitted.state = "late";
      this.#batches -= 1;
    }
    return this.#batches;
  }

  /** From one second on, evenly over so many; whole seconds, as the header has them. */
  #spread(seconds: number): number {
    const random = this.#deps.random ?? Math.random;
    return 1 + Math.floor(random() * Math.min(maxSpreadSeconds, Math.ceil(seconds)));
  }

  #count(site: string, share: SiteShare, lane: Lane, bytes: number, batches: number): void {
    this.#bytes += bytes;
    share.bytes += bytes;
    share.batches += batches;
    share.lanes.set(lane, (share.lanes.get(lane) ?? 0) + batches);
    if (share.batches === 0) this.#sites.delete(site);
    else this.#sites.set(site, share);
  }
}
