import { createHash, generateKeyPairSync } from "node:crypto";
import { CompactSign } from "jose";
import { Agent } from "../../gateway/agent/agent.ts";
import type { DesiredRevision } from "../../gateway/agent/bundles.ts";
import { AgentDocuments, type DocumentsOptions } from "../../gateway/agent/documents.ts";
import type { Vitals } from "../../gateway/agent/watch.ts";
import { CentralKeys } from "../../gateway/identity/central-keys.ts";
import type { Session } from "../../gateway/link/session.ts";
import type { LinkAnswer } from "../../gateway/link/transport.ts";
import { openLogger } from "../../gateway/telemetry/logger.ts";
import { type Bundle, type Clock, type ConnectorReport, systemClock, toInstant } from "../../protocol/index.ts";
import { plantDocuments } from "./documents.ts";
import { temporaryFolder } from "./folder.ts";
import { bundleOf } from "./gateway-parts.ts";

const keys = generateKeyPairSync("ed25519");
const otherKeys = generateKeyPairSync("ed25519");

/** A bundle of the site lyon; `content` is the host of its warehouse, so that another one changes that connector alone. */
export async function contentOf(revision: number, content: string, more: Partial<Bundle> = {}): Promise<Bundle> {
  const documents = plantDocuments({ site: "lyon", wmsUrl: `mqtt://${content}:1` });
  return { ...(await bundleOf(documents, "lyon", revision)), ...more };
}

export async function sign(payload: unknown, by: "central" | "somebody else" = "central"): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader({ alg: "EdDSA" })
    .sign((by === "central" ? keys : otherKeys).privateKey);
}

/** Bundles that an agent can fetch, and what it asked for. */
export class CentralOfBundles {
  readonly fetched: number[] = [];
  readonly #bundles = new Map<number, { readonly jws: string; readonly digest: string }>();
  /** Instead of a bundle. */
  answer: (() => LinkAnswer | Promise<LinkAnswer>) | undefined;

  /** @returns what central then wants */
  async has(revision: number, content: string, more: Partial<Bundle> = {}): Promise<Required<DesiredRevision>> {
    return this.hands(revision, await sign(await contentOf(revision, content, more)));
  }

  hands(revision: number, jws: string): Required<DesiredRevision> {
    const digest = createHash("sha256")
      .update(Buffer.from(jws.split(".")[1] as string, "base64url"))
      .digest("hex");
    this.#bundles.set(revision, { jws, digest });
    return { revision, digest: digest as string };
  }

  digest(revision: number): string | undefined {
    return this.#bundles.get(revision)?.digest;
  }

  get session(): Session {
    return {
      online: async () => ({ kind: "online", session: "1", watermarks: [] }),
      send: async (_session: string, { path }: { path: string }) => {
        const revision = Number(path.split("/").at(-1));
        this.fetched.push(revision);
        if (this.answer) return this.answer();
        return { kind: "ok", status: 200, text: "", body: { jws: this.#bundles.get(revision)?.jws } };
      },
    } as unknown as Session;
  }
}

/** What a gateway is as its agent sees it: a bundle is in effect or not, and does well or not. */
export class Plant {
  /** As `revision:content`. */
  running: string | undefined;
  readonly applied: string[] = [];
  readonly instead: string[] = [];
  /** Throws where a content cannot be put into effect. */
  refuses: (content: string) => unknown = () => undefined;
  /** Before and after the moment in which something else runs. */
  step: (what: string) => Promise<void> = async () => {};
  connectors: Record<string, ConnectorReport["state"]> = { wms: "up", floor: "up", hooks: "up" };
  tallies: Vitals["tallies"] = [];
  /** What a content makes of the connectors. */
  effects: Record<string, Plant["connectors"]> = {};

  apply = async (bundle: Bundle): Promise<void> => {
    const { config } = bundle.connectors.wms as { config: { url?: string } };
    const content = new URL(config.url ?? "").hostname;
    await this.step("apply begins");
    const refusal = this.refuses(content);
    if (refusal) throw refusal;
    this.running = `${bundle.revision}:${content}`;
    this.applied.push(this.running);
    this.connectors = { wms: "up", floor: "up", hooks: "up", ...this.effects[content] };
    await this.step("apply ended");
  };

  restore = async (bundle: Bundle, instead: boolean): Promise<void> => {
    await this.apply(bundle);
    if (instead) this.instead.push(this.running as string);
  };

  vitals = (): Vitals => ({
    connectors: Object.entries(this.connectors).map(([name, state]) => ({
      ...{ name, kind: "test", state, since: toInstant(0), connects: 1 },
      ...(state === "up" ? {} : { reason: `${name} is broken` }),
    })),
    tallies: this.tallies,
  });
}

/** Time passes by short waits alone, so that what takes half a minute takes no time; a long wait is for what must not take so long. */
export function clockOfWaits(): Clock {
  let at = 0;
  return {
    now: () => at,
    monotonic: () => at,
    async sleep(ms, signal) {
      if (ms > 60_000) return new Promise((resolve) => signal?.addEventListener("abort", () => resolve(), { once: true }));
      // whoever rings meanwhile comes first
      await new Promise((resolve) => setImmediate(resolve));
      if (!signal?.aborted) at += ms;
    },
  };
}

/** An agent on its documents, at a central and in a plant that are the test's. */
export async function openAgent(options: {
  file: string;
  central?: CentralOfBundles;
  plant?: Plant;
  clock?: Clock;
  documents?: DocumentsOptions;
}) {
  const { file, central = new CentralOfBundles(), plant = new Plant(), clock = systemClock } = options;
  const documents = await AgentDocuments.open(file, options.documents);
  using folder = temporaryFolder();
  const agent = new Agent(
    {
      ...{ site: "lyon", version: "0.1.0", documents, clock, session: central.session },
      centralKeys: CentralKeys.open({ dataDir: folder.path, handedOver: keys.publicKey }),
      log: openLogger({ level: "silent", site: "lyon" }),
      ...{ vitals: plant.vitals, apply: plant.apply, restore: plant.restore },
    },
    await documents.state(),
  );
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  return {
    agent,
    plant,
    central,
    documents,
    run(): void {
      running = agent.run(stopping.signal);
    },
    /** Resumes, and runs until `stop`. */
    async start(): Promise<void> {
      await agent.resume();
      this.run();
    },
    get ended(): Promise<void> | undefined {
      return running;
    },
    /** Central wants it; resolves when that was dealt with, and nothing is watched any more. */
    async dealsWith(desired: DesiredRevision): Promise<void> {
      agent.want(desired);
      await this.sees(
        ({ state, digest, refused }) =>
          (state === "active" && digest === desired.digest) || (state !== "applying" && refused?.digest === desired.digest),
      );
    },
    /** Resolves when the agent's report is like that; each turn of the event loop is looked at. */
    async sees(judge: (report: Agent["report"]) => boolean): Promise<void> {
      const end = performance.now() + 60_000;
      while (!stopping.signal.aborted && !judge(agent.report)) {
        if (performance.now() > end) throw new Error(`not in a minute: ${JSON.stringify(agent.report)}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    /** The power goes: nobody says good-bye. */
    kill(): void {
      stopping.abort();
    },
    async stop(): Promise<void> {
      stopping.abort();
      await running;
      await agent.stop();
    },
  };
}
