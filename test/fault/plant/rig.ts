import { join } from "node:path";
import { until } from "../../support/process.ts";
import { Judge } from "../judge/judge.ts";
import { drain } from "../judge/ledger-reader.ts";
import { FaultyLink } from "../link/faulty-link.ts";
import { WireLog } from "../link/wire-log.ts";
import { Load, type Rates } from "../load/load.ts";
import type { Outcome } from "../scenario.ts";
import { CentralNode } from "./central-node.ts";
import { plantFiles } from "./documents.ts";
import { GatewayNode } from "./gateway-node.ts";
import { claimPort } from "./ports.ts";

export interface RigOptions {
  readonly folder: string;
  readonly centralDir?: string;
  readonly gatewayDir?: string;
  readonly receiverUrl?: string;
  readonly queue?: unknown;
  readonly centralArgs?: readonly string[];
  readonly env?: { readonly gateway: Record<string, string>; readonly central: Record<string, string> };
}

interface SiteStatus {
  readonly name: string;
  readonly reportedRevision: number;
  readonly configurationState: string;
  readonly configurationReason: string | null;
}

interface JudgeOptions {
  readonly settleMs?: number;
  /** Gives up when the ledger did not grow for so long. */
  readonly stalledMs?: number;
  /** Some of what was acknowledged is gone for good: it is enough that nothing waits any more. */
  readonly expectLosses?: boolean;
}

/** One plant and its centre: two processes, the link between them, and the senders. */
export class Rig implements AsyncDisposable {
  readonly central: CentralNode;
  readonly gateway: GatewayNode;
  readonly link: FaultyLink;
  readonly log: WireLog;
  readonly floorPort: number;
  readonly #options: RigOptions;
  #load: Load | undefined;

  private constructor(
    options: RigOptions,
    ports: { central: number; http: number; floor: number },
    link: FaultyLink,
    log: WireLog,
  ) {
    const { folder, centralDir = join(folder, "central"), gatewayDir = join(folder, "gateway") } = options;
    this.#options = options;
    this.link = link;
    this.log = log;
    this.floorPort = ports.floor;
    this.central = new CentralNode({
      dataDir: centralDir,
      port: ports.central,
      args: options.centralArgs,
      env: options.env?.central,
    });
    this.gateway = new GatewayNode({
      site: "lyon",
      dataDir: gatewayDir,
      centralUrl: link.url,
      httpPort: ports.http,
      env: options.env?.gateway,
    });
  }

  /** Starts both and waits until the gateway runs its configuration. */
  static async open(options: RigOptions): Promise<Rig> {
    const [central, http, floor] = [await claimPort(), await claimPort(), await claimPort()];
    const log = new WireLog();
    const link = await FaultyLink.open({ target: `http://127.0.0.1:${central}`, log });
    const rig = new Rig(options, { central, http, floor }, link, log);
    try {
      await rig.central.start();
      await rig.gateway.enroll(rig.central);
      await rig.gateway.start();
      await rig.configure();
      return rig;
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
  }

  async configure(): Promise<void> {
    const { receiverUrl, queue } = this.#options;
    const files = plantFiles({ site: this.gateway.site, floorPort: this.floorPort, receiverUrl, queue });
    const { revision } = await this.central.post<{ revision: number }>(`/v1/sites/${this.gateway.site}/revisions`, { files });
    // the log says it at once, the report comes with the next status
    await Promise.race([
      this.gateway.process.logged("agent.bundle.applied"),
      until(
        async () =>
          (await this.central.get<{ sites: SiteStatus[] }>("/v1/sites")).sites.find(({ name }) => name === this.gateway.site),
        (site) => site?.reportedRevision === revision && ["active", "watching"].includes(site.configurationState),
      ),
    ]);
  }

  /** The senders, started with the first call. */
  startLoad(rates?: Rates): Load {
    this.#load ??= new Load(this.gateway, this.floorPort, rates);
    return this.#load;
  }

  /** Ends the load, lets everything drain to central, and holds the ledger against the books. */
  async judge(options: JudgeOptions = {}): Promise<{ outcome: Omit<Outcome, "held" | "entry">; judge: Judge }> {
    const load = this.#load;
    if (!load) throw new Error("there was no load");
    const unsettled = await load.finish(options.settleMs ?? 60_000);
    const endedAt = performance.now();
    const judge = new Judge(load.books);
    const drained = await drain(this.central, judge, {
      stalledMs: options.stalledMs ?? 30_000,
      isIdle: () => this.log.isIdle(this.gateway.site, endedAt),
      expectLosses: options.expectLosses ?? false,
    });
    const { acknowledged, lost, duplicates, reordered, altered } = judge.verdict();
    const findings = [
      ...unsettled,
      ...(drained ? [] : ["the gateway's backlog did not drain"]),
      ...(altered > 0 ? [`${altered} messages are recorded that nobody sent so`] : []),
      ...judge.findings(),
      ...this.log.regressions,
    ];
    return { outcome: { acknowledged, lost: lost + this.log.lost, duplicates, reordered, findings }, judge };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#load?.[Symbol.asyncDispose]();
    await this.gateway[Symbol.asyncDispose]();
    await this.central[Symbol.asyncDispose]();
    await this.link[Symbol.asyncDispose]();
  }
}
