import { createHash, type KeyObject, randomUUID } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { type CryptoKey, exportSPKI, generateKeyPair, SignJWT } from "jose";
import type { CloudEvent, DownlinkAnswer, HelloAnswer, HoleReason, Lane, Problem } from "../../protocol/index.ts";

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
  /** `Plantgate-Frames`. */
  readonly entries: string;
  readonly body: Buffer;
  readonly chain: string;
}
interface Entry {
  readonly first: number;
  readonly count: number;
  readonly bytes: Buffer;
  readonly chain: Buffer;
  readonly reason?: HoleReason;
}

/** One lane as a gateway keeps it: an epoch, and the chain over its frames. */
export class TestLane {
  readonly lane: Lane;
  readonly epoch: string;
  readonly firstSequence: number;
  readonly predecessor: { epoch: string; lastSequence: number } | undefined;
  readonly chain: string | undefined;
  #entries: Entry[] = [];
  readonly #genesis: Buffer;

  constructor(
    site: string,
    lane: Lane,
    options: {
      epoch?: string;
      firstSequence?: number;
      predecessor?: { epoch: string; lastSequence: number };
      /** The chain's value before its first message; else the epoch's own genesis. */
      chain?: string;
    } = {},
  ) {
    this.lane = lane;
    this.epoch = options.epoch ?? randomUUID();
    this.firstSequence = options.firstSequence ?? 1;
    this.predecessor = options.predecessor;
    this.chain = options.chain;
    this.#genesis =
      options.chain === undefined
        ? createHash("sha256").update(`plantgate-chain:${site}:${lane}:${this.epoch}`).digest()
        : Buffer.from(options.chain, "hex");
  }

  get last(): number {
    const entry = this.#entries.at(-1);
    return entry ? entry.first + entry.count - 1 : this.firstSequence - 1;
  }

  /** Adds one frame of these lines. */
  append(events: readonly (CloudEvent | string)[], compressed?: Buffer): void {
    const text = events.map((event) => `${typeof event === "string" ? event : JSON.stringify(event)}\n`).join("");
    const bytes = compressed ?? zstdCompressSync(text);
    const previous = this.#entries.at(-1)?.chain ?? this.#genesis;
    const chain = createHash("sha256").update(previous).update(bytes).digest();
    this.#entries.push({ first: this.last + 1, count: events.length, bytes, chain });
  }

  /** Replaces whole frames and holes by one hole of the same range; it keeps the last value of the chain that it replaces. */
  discard(from: number, to: number, reason: HoleReason): void {
    const inside = this.#entries.filter(({ first, count }) => first >= from && first + count - 1 <= to);
    const last = inside.at(-1);
    if (inside[0]?.first !== from || !last || last.first + last.count - 1 !== to) throw new Error("a hole replaces whole frames");
    const hole = { first: from, count: to - from + 1, bytes: Buffer.alloc(0), chain: last.chain, reason };
    const rest = this.#entries.filter((entry) => !inside.includes(entry));
    this.#entries = [...rest, hole].sort((a, b) => a.first - b.first);
  }

  /** The frames and holes that begin at `from` or later, up to `to` with it. */
  batch(from = this.firstSequence, to = this.last): Batch {
    const entries = this.#entries.filter(({ first, count }) => first >= from && first + count - 1 <= to);
    const [first, last] = [entries[0], entries.at(-1)];
    if (!first || !last) throw new Error("no frames in this range");
    const chain = last.chain.toString("hex");
    return {
      firstSequence: first.first,
      count: entries.reduce((sum, entry) => sum + entry.count, 0),
      entries: entries
        .map((entry) =>
          entry.reason === undefined
            ? `${entry.count}/${entry.bytes.length}`
            : `${entry.count}~${entry.reason}~${entry.chain.toString("hex")}`,
        )
        .join(","),
      body: Buffer.concat(entries.map((entry) => entry.bytes)),
      chain,
    };
  }

  /** Where frames and holes begin. */
  get starts(): number[] {
    return this.#entries.map(({ first }) => first);
  }
}

/** Speaks a gateway's side of the wire, with nothing of the gateway's code. */
export class TestGateway {
  readonly site: string;
  session = "";
  #url: () => string;
  readonly #privateKey: CryptoKey | KeyObject;

  constructor(options: { url: () => string; site: string; privateKey: CryptoKey | KeyObject }) {
    this.#url = options.url;
    this.site = options.site;
    this.#privateKey = options.privateKey;
  }

  /** From now on it calls another central. */
  moveTo(url: () => string): void {
    this.#url = url;
  }

  lane(lane: Lane, options?: ConstructorParameters<typeof TestLane>[2]): TestLane {
    return new TestLane(this.site, lane, options);
  }

  token(
    claims: {
      site?: string;
      audience?: string;
      issuedAt?: number;
      lifeSeconds?: number;
      key?: CryptoKey | KeyObject;
      kid?: string;
    } = {},
  ): Promise<string> {
    const site = claims.site ?? this.site;
    const issuedAt = claims.issuedAt ?? Math.floor(Date.now() / 1000);
    return new SignJWT()
      .setProtectedHeader({ alg: "EdDSA", ...(claims.kid === undefined ? {} : { kid: claims.kid }) })
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

  async hello(
    lanes: readonly TestLane[] = [],
    bootId: string = randomUUID(),
    /** How far the gateway says that each lane was acknowledged; older ones do not say it. */
    acknowledged?: (lane: TestLane) => number,
  ): Promise<Answer<HelloAnswer>> {
    const epochs = lanes.map((each) => ({
      lane: each.lane,
      epoch: each.epoch,
      firstSequence: each.firstSequence,
      ...(each.chain === undefined ? {} : { chain: each.chain }),
      ...(each.predecessor ? { predecessor: each.predecessor } : {}),
      ...(acknowledged ? { acknowledged: acknowledged(each) } : {}),
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
        "plantgate-frames": batch.entries,
        ...headers,
      },
      body: new Uint8Array(batch.body),
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as never };
  }

  /** A package, or a part of it. */
  async fetchPackage(file: string, range?: string): Promise<{ status: number; headers: Headers; bytes: Buffer }> {
    const answer = await fetch(`${this.#url()}/v1/sites/${this.site}/releases/${file}`, {
      headers: { authorization: `Bearer ${await this.token()}`, ...(range === undefined ? {} : { range }) },
    });
    return { status: answer.status, headers: answer.headers, bytes: Buffer.from(await answer.arrayBuffer()) };
  }

  downlink(
    request: {
      epoch?: string;
      sequence?: number;
      knownRevision?: number;
      knownRelease?: string;
      waitMs?: number;
      session?: string;
    },
    signal?: AbortSignal,
  ): Promise<Answer<DownlinkAnswer>> {
    const ack = { ...(request.epoch === undefined ? {} : { epoch: request.epoch }), sequence: request.sequence ?? 0 };
    const body = {
      session: request.session ?? this.session,
      ack,
      knownRevision: request.knownRevision ?? 0,
      ...(request.knownRelease === undefined ? {} : { knownRelease: request.knownRelease }),
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
