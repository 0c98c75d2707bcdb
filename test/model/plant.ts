import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runDownlink } from "../../gateway/link/downlink.ts";
import { LaneShares } from "../../gateway/link/lane-shares.ts";
import { LinkLimits } from "../../gateway/link/link-limits.ts";
import { LinkProgress } from "../../gateway/link/progress.ts";
import { Session } from "../../gateway/link/session.ts";
import { Transport } from "../../gateway/link/transport.ts";
import { runUplink } from "../../gateway/link/uplink.ts";
import type { QueueDepth } from "../../gateway/queue/change.ts";
import { Queue } from "../../gateway/queue/queue.ts";
import { QueueReader } from "../../gateway/queue/read.ts";
import { openLogger } from "../../gateway/telemetry/logger.ts";
import { type Clock, type CloudEvent, type Lane, lanes } from "../../protocol/index.ts";
import { type Fate, FaultyTransport } from "./faulty-transport.ts";

export interface PlantOptions {
  readonly site: string;
  readonly folder: string;
  readonly centralUrl: () => string;
  readonly privateKey: KeyObject;
  readonly fates: readonly Fate[];
  readonly clock: Clock;
}

/** A gateway's queue and link as they are in a plant, without connectors: what they hold can be told apart from what they should. */
export class Plant {
  readonly #options: PlantOptions;
  #queue!: Queue;
  #transport!: FaultyTransport;
  #stopping = new AbortController();
  #loops: Promise<unknown>[] = [];
  #fences: string[] = [];

  constructor(options: PlantOptions) {
    this.#options = options;
  }

  get #data(): string {
    return join(this.#options.folder, "data");
  }
  get #image(): string {
    return join(this.#options.folder, "image");
  }
  /** Reasons for which this gateway took itself for a clone. */
  get fences(): readonly string[] {
    return this.#fences;
  }
  get transport(): FaultyTransport {
    return this.#transport;
  }

  async start(calm = false): Promise<void> {
    const { site, clock, fates, privateKey, centralUrl } = this.#options;
    mkdirSync(this.#data, { recursive: true });
    const log = openLogger({ level: process.env.PLANTGATE_TEST_LOG ?? "silent", site });
    this.#queue = await Queue.open({ path: join(this.#data, "queue.sqlite"), site, onFailure: () => {} });
    this.#transport = new FaultyTransport(
      new Transport({
        site,
        centralUrl: centralUrl(),
        keys: { current: { privateKey, fingerprint: fingerprintOf(privateKey) } },
        clock,
      }),
      fates,
    );
    if (calm) this.#transport.calm();
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    const queue = this.#queue;
    const transport = this.#transport as unknown as Transport;
    const onFenced = async (reason: string): Promise<void> => void this.#fences.push(reason);
    const session = new Session({ site, version: "0", transport, queue, clock, log, onFenced }, undefined);
    const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 });
    const progress = new LinkProgress(clock, log);
    const uplink = { site, queue, session, shares, limits: new LinkLimits(shares), progress, clock, log };
    this.#loops = [
      session.run(signal),
      ...lanes.map((lane) => runUplink(uplink, lane, signal)),
      runDownlink(
        {
          site,
          queue,
          session,
          progress,
          clock,
          log,
          knownRevision: () => 0,
          knownSecrets: () => "",
          onDesired: () => {},
          onAsks: () => {},
        },
        signal,
      ),
    ];
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
    await this.#transport.settled();
    this.#transport.close();
    await this.#queue.close();
  }

  async append(lane: Lane, events: readonly CloudEvent[]): Promise<void> {
    await this.#queue.commit({ messages: events.map((event) => ({ lane, line: JSON.stringify(event) })) });
  }

  depth(): Promise<QueueDepth> {
    return this.#queue.depth();
  }

  /** A copy of the whole disk, as a snapshot of a virtual machine takes it. */
  async image(): Promise<void> {
    await this.#turnedOff(() => {
      rmSync(this.#image, { recursive: true, force: true });
      cpSync(this.#data, this.#image, { recursive: true });
    });
  }

  async setBackToImage(): Promise<void> {
    await this.#turnedOff(() => {
      rmSync(this.#data, { recursive: true, force: true });
      cpSync(this.#image, this.#data, { recursive: true });
    });
  }

  async restart(): Promise<void> {
    await this.#turnedOff(() => {});
  }

  async #turnedOff(work: () => void): Promise<void> {
    await this.stop();
    work();
    await this.start();
  }

  /** Ids of what came from central, in its order. */
  inbound(): string[] {
    using reader = new QueueReader(join(this.#data, "queue.sqlite"));
    return [...reader.messages("inbound")].map(({ line }) => (JSON.parse(line) as CloudEvent).id);
  }
}

/** As central names the key. */
function fingerprintOf(privateKey: KeyObject): string {
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  return createHash("sha256").update(publicKey).digest("hex");
}
