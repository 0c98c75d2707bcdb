import { createHash, randomUUID } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { type CryptoKey, exportSPKI, generateKeyPair, SignJWT } from "jose";
import type { CloudEvent, DownlinkAnswer, HelloAnswer, Lane, Problem } from "../../protocol/index.ts";

export async function generateGatewayKey(): Promise<{ publicKey: string; privateKey: CryptoKey }> {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  return { publicKey: await exportSPKI(publicKey), privateKey };
}

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body & Problem;
}
export interface Batch {
  readonly firstSequence: number;
  readonly count: number;
  readonly frames: readonly { readonly count: number; readonly bytes: Buffer }[];
  readonly chain: string;
}

/** One lane as a gateway keeps it: an epoch, and the chain over its frames. */
export class TestLane {
  readonly lane: Lane;
  readonly epoch: string;
  readonly firstSequence: number;
  readonly predecessor: { epoch: string; lastSequence: number } | undefined;
  readonly #frames: { first: number; count: number; bytes: Buffer; chain: Buffer }[] = [];
  readonly #genesis: Buffer;

  constructor(
    site: string,
    lane: Lane,
    options: { epoch?: string; firstSequence?: number; predecessor?: { epoch: string; lastSequence: number } } = {},
  ) {
    this.lane = lane;
    this.epoch = options.epoch ?? randomUUID();
    this.firstSequence = options.firstSequence ?? 1;
    this.predecessor = options.predecessor;
    this.#genesis = createHash("sha256").update(`plantgate-chain:${site}:${lane}:${this.epoch}`).digest();
  }

  get last(): number {
    const frame = this.#frames.at(-1);
    return frame ? frame.first + frame.count - 1 : this.firstSequence - 1;
  }

  /** Adds one frame of these lines. */
  append(events: readonly (CloudEvent | string)[], compressed?: Buffer): void {
    const text = events.map((event) => `${typeof event === "string" ? event : JSON.stringify(event)}\n`).join("");
    const bytes = compressed ?? zstdCompressSync(text);
    const previous = this.#frames.at(-1)?.chain ?? this.#genesis;
    const chain = createHash("sha256").update(previous).update(bytes).digest();
    this.#frames.push({ first: this.last + 1, count: events.length, bytes, chain });
  }

  /** The frames that begin at `from` or later, up to `to` with it. */
  batch(from = this.firstSequence, to = this.last): Batch {
    const frames = this.#frames.filter((frame) => frame.first >= from && frame.first + frame.count - 1 <= to);
    const first = frames[0];
    const last = frames.at(-1);
    if (!first || !last) throw new Error("no frames in this range");
    return {
      firstSequence: first.first,
      count: frames.reduce((sum, frame) => sum + frame.count, 0),
      frames,
      chain: last.chain.toString("hex"),
    };
  }
}

/** Speaks a gateway's side of the wire, with nothing of the gateway's code. */
export class TestGateway {
  readonly site: string;
  session = "";
  readonly #url: () => string;
  readonly #privateKey: CryptoKey;

  constructor(options: { url: () => string; site: string; privateKey: CryptoKey }) {
    this.#url = options.url;
    this.site = options.site;
    this.#privateKey = options.privateKey;
  }

  lane(lane: Lane, options?: ConstructorParameters<typeof TestLane>[2]): TestLane {
    return new TestLane(this.site, lane, options);
  }

  token(
    claims: { site?: string; audience?: string; issuedAt?: number; lifeSeconds?: number; key?: CryptoKey } = {},
  ): Promise<string> {
    const site = claims.site ?? this.site;
    const issuedAt = claims.issuedAt ?? Math.floor(Date.now() / 1000);
    return new SignJWT()
      .setProtectedHeader({ alg: "EdDSA" })
      .setIssuer(site)
      .setSubject(site)
      .setAudience(claims.audience ?? "plantgate-central")
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + (claims.lifeSeconds ?? 300))
      .sign(claims.key ?? this.#privateKey);
  }

  async call<Body = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    options: { token?: string | null; signal?: AbortSignal } = {},
  ): Promise<Answer<Body>> {
    const token = options.token === undefined ? await this.token() : options.token;
    const answer = await fetch(`${this.#url()}/v1/sites/${this.site}/${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(options.signal ? { signal: options.signal } : {}),
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Body & Problem };
  }

  async hello(lanes: readonly TestLane[] = [], bootId: string = randomUUID()): Promise<Answer<HelloAnswer>> {
    const epochs = lanes.map(({ lane, epoch, firstSequence, predecessor }) => ({
      lane,
      epoch,
      firstSequence,
      ...(predecessor ? { predecessor } : {}),
    }));
    const answer = await this.call<HelloAnswer>("POST", "sessions", {
      gatewayVersion: "test",
      bootId,
      sentAt: new Date().toISOString(),
      epochs,
    });
    if (answer.status === 200) this.session = answer.body.session;
    return answer;
  }

  async send(
    lane: TestLane,
    batch: Batch = lane.batch(),
    headers: Record<string, string> = {},
  ): Promise<Answer<{ watermark: number; incarnation: string }>> {
    const answer = await fetch(`${this.#url()}/v1/sites/${this.site}/lanes/${lane.lane}/batches`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${await this.token()}`,
        "content-type": "application/x-ndjson",
        "content-encoding": "zstd",
        "plantgate-session": this.session,
        "plantgate-epoch": lane.epoch,
        "plantgate-first-sequence": String(batch.firstSequence),
        "plantgate-count": String(batch.count),
        "plantgate-chain": batch.chain,
        "plantgate-frames": batch.frames.map((frame) => `${frame.count}/${frame.bytes.length}`).join(","),
        ...headers,
      },
      body: Buffer.concat(batch.frames.map((frame) => frame.bytes)),
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as never };
  }

  downlink(
    request: { epoch?: string; sequence?: number; knownRevision?: number; waitMs?: number; session?: string },
    signal?: AbortSignal,
  ): Promise<Answer<DownlinkAnswer>> {
    const ack = { ...(request.epoch === undefined ? {} : { epoch: request.epoch }), sequence: request.sequence ?? 0 };
    const body = {
      session: request.session ?? this.session,
      ack,
      knownRevision: request.knownRevision ?? 0,
      waitMs: request.waitMs ?? 0,
    };
    return this.call<DownlinkAnswer>("POST", "downlink", body, signal ? { signal } : {});
  }

  status(report: Record<string, unknown> = {}): Promise<Answer<Record<string, unknown>>> {
    const now = new Date().toISOString();
    return this.call("POST", "status", {
      session: this.session,
      sentAt: now,
      startedAt: now,
      pid: 4711,
      gatewayVersion: "test",
      lanes: [],
      disk: { state: "ok", freeBytes: 1e9 },
      deliveries: { waiting: 0, unknown: 0, parked: 0, stale: 0 },
      deadLetters: 0,
      repeats: 0,
      configuration: { reported: 0, state: "none" },
      connectors: [],
      ...report,
    });
  }
}
