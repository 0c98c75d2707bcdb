import { randomUUID } from "node:crypto";
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { backoff } from "../../../protocol/index.ts";
import type { TestGateway } from "../../support/gateway-client.ts";
import { post, type Reply } from "./exchange.ts";
import type { Backlog, Parcel } from "./site-messages.ts";

/** What one gateway saw of central. Milliseconds. */
export interface Seen {
  readonly hello: number[];
  readonly uplink: number[];
  readonly status: number[];
  /** 429 or 503, by status; waited for as `Retry-After` says. */
  readonly refused: Record<string, number>;
  /** Batches refused again although their sender had waited as told; requests that broke off or were not answered twice in a row. */
  droppedTwice: number;
  brokenOff: number;
  acknowledged: number;
  readonly problems: Record<string, number>;
}

const answerWithinMs = 15_000;
const statusEveryMs = 2000;
const pollMs = 25_000;

/** A plant's gateway that comes back with a backlog: hello, then batches of each lane, a downlink poll and status reports side by side. */
export class SimulatedGateway {
  readonly seen: Seen = {
    hello: [],
    uplink: [],
    status: [],
    refused: {},
    droppedTwice: 0,
    brokenOff: 0,
    acknowledged: 0,
    problems: {},
  };
  readonly #gateway: TestGateway;
  readonly #backlog: readonly Backlog[];
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 6 });
  #authorization = "";
  #session = "";
  #over = false;

  constructor(options: { gateway: TestGateway; backlog: readonly Backlog[]; url: string }) {
    this.#gateway = options.gateway;
    this.#backlog = options.backlog;
    this.#url = options.url;
  }

  /** Signs its token before the storm: that is the plant's work, not central's. */
  async prepare(): Promise<void> {
    this.#authorization = `Bearer ${await this.#gateway.token({ lifeSeconds: 600 })}`;
  }

  /** Resolves when central has acknowledged the whole backlog, or at the deadline. */
  async run(deadline: number): Promise<void> {
    await this.#hello(deadline);
    const beside = [this.#poll(), this.#report()];
    await Promise.all(this.#backlog.map((backlog) => this.#drain(backlog, deadline)));
    this.#over = true;
    this.#agent.destroy();
    await Promise.all(beside);
  }

  async #hello(deadline: number): Promise<void> {
    const epochs = this.#backlog.map(({ lane, epoch }) => ({ lane, epoch, firstSequence: 1 }));
    const body = JSON.stringify({ gatewayVersion: "storm", bootId: randomUUID(), sentAt: new Date().toISOString(), epochs });
    const reply = await this.#insist("hello", "sessions", { "content-type": "application/json" }, body, deadline);
    this.#session = String(reply.body.session ?? "");
  }

  /** In order, two under way: the next one leaves before the first is answered. */
  async #drain(backlog: Backlog, deadline: number): Promise<void> {
    const { parcels } = backlog;
    let done = 0;
    while (done < parcels.length && performance.now() < deadline) {
      const window = parcels.slice(done, done + 2);
      const replies = await Promise.all(window.map((parcel) => this.#send(backlog, parcel, deadline)));
      const watermark = Math.max(...replies.map(({ body }) => (typeof body.watermark === "number" ? body.watermark : 0)));
      const before = done;
      while (done < parcels.length && endOf(parcels[done] as Parcel) <= watermark) {
        this.seen.acknowledged += parcels[done]?.count ?? 0;
        done += 1;
      }
      if (done === before) await sleep(200);
    }
  }

  #send({ lane, epoch }: Backlog, parcel: Parcel, deadline: number): Promise<Reply> {
    const headers = {
      "content-type": "application/x-ndjson",
      "content-encoding": "zstd",
      "plantgate-session": this.#session,
      "plantgate-epoch": epoch,
      "plantgate-first-sequence": String(parcel.firstSequence),
      "plantgate-count": String(parcel.count),
      "plantgate-chain": parcel.chain,
      "plantgate-frames": parcel.frames,
    };
    return this.#insist("uplink", `lanes/${lane}/batches`, headers, parcel.body, deadline);
  }

  async #poll(): Promise<void> {
    while (!this.#over) {
      const body = JSON.stringify({ session: this.#session, ack: { sequence: 0 }, knownRevision: 1, waitMs: pollMs });
      const reply = await this.#post("downlink", { "content-type": "application/json" }, body, pollMs + answerWithinMs);
      if (reply.status !== 200) await sleep(500);
    }
  }

  async #report(): Promise<void> {
    while (!this.#over) {
      const now = new Date().toISOString();
      const lanes = this.#backlog.map(({ lane, epoch, last }) => ({ lane, epoch, last, acknowledged: 0, waitingBytes: 0 }));
      const report = {
        session: this.#session,
        sentAt: now,
        startedAt: now,
        pid: process.pid,
        gatewayVersion: "storm",
        lanes,
        disk: { state: "ok", freeBytes: 1e9 },
        deliveries: { waiting: 0, unknown: 0, parked: 0, stale: 0 },
        deadLetters: 0,
        repeats: 0,
        configuration: { reported: 1, state: "active" },
        connectors: [],
      };
      const reply = await this.#post("status", { "content-type": "application/json" }, JSON.stringify(report), answerWithinMs);
      if (!this.#over) {
        this.seen.status.push(reply.tookMs);
        if (reply.status !== 200) this.#note(`status ${reply.status}`);
      }
      await sleep(statusEveryMs * (0.9 + Math.random() * 0.2));
    }
  }

  /** Sends until it is answered with something else than a refusal; waits as told, with jitter. */
  async #insist(
    kind: "hello" | "uplink",
    path: string,
    headers: Record<string, string>,
    body: Uint8Array | string,
    deadline: number,
  ): Promise<Reply> {
    const delays = backoff({ baseMs: 300, capMs: 10_000 });
    let refusals = 0;
    let breaks = 0;
    for (;;) {
      const reply = await this.#post(path, headers, body, answerWithinMs);
      this.seen[kind].push(reply.tookMs);
      if (reply.status === 429 || reply.status === 503) {
        this.seen.refused[reply.status] = (this.seen.refused[reply.status] ?? 0) + 1;
        refusals += 1;
        breaks = 0;
        if (refusals === 2) this.seen.droppedTwice += 1;
        if (reply.retryAfterMs === undefined) this.#note(`${reply.status} without Retry-After`);
        await sleep((reply.retryAfterMs ?? 1000) * (1 + Math.random() * 0.5));
      } else if (reply.status === 0) {
        this.seen.brokenOff += 1;
        breaks += 1;
        refusals = 0;
        if (breaks === 2) this.seen.droppedTwice += 1;
        await sleep(delays.next().value);
      } else {
        if (reply.status !== 200) this.#note(`${kind} ${reply.status} ${String(reply.body.code ?? "")}`);
        return reply;
      }
      if (performance.now() > deadline) return reply;
    }
  }

  #post(path: string, headers: Record<string, string>, body: Uint8Array | string, timeoutMs: number): Promise<Reply> {
    const url = new URL(`/v1/sites/${this.#gateway.site}/${path}`, this.#url);
    return post(url, { agent: this.#agent, headers: { ...headers, authorization: this.#authorization }, body, timeoutMs });
  }

  #note(problem: string): void {
    this.seen.problems[problem] = (this.seen.problems[problem] ?? 0) + 1;
  }
}

function endOf(parcel: Parcel): number {
  return parcel.firstSequence + parcel.count - 1;
}
