import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CompletenessAnswer, MessagesAnswer, SitesAnswer, SiteView } from "../../central/http/views.ts";
import { plantgate } from "../support/command.ts";
import { type RunningProcess, startPlantgate } from "../support/process.ts";
import { plantFiles } from "./documents.ts";
import { until } from "./wait.ts";

/** What the plant's messages became at central. */
export interface Recorded {
  readonly numbers: readonly number[];
  /** Lanes of which something will never come, as central says it. */
  readonly losses: readonly string[];
}

export interface CentralPlace {
  /** As the plant reaches it. */
  readonly url: string;
  /** As its people do. */
  readonly peopleUrl: string;
  readonly tokenFile: string;
}

/** The central that a plant's gateway belongs to, as its people use it. */
export class CentralSide {
  readonly url: string;
  readonly site = "lyon";
  readonly #place: CentralPlace;

  constructor(place: CentralPlace) {
    this.#place = place;
    this.url = place.url;
  }

  async call<Answer>(method: "GET" | "POST" | "PUT", path: string, body?: unknown): Promise<Answer> {
    const answer = await fetch(new URL(path, this.#place.peopleUrl), {
      method,
      headers: {
        authorization: `Bearer ${readFileSync(this.#place.tokenFile, "utf8").trim()}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(120_000),
    }).catch((cause: Error) => {
      throw new Error(`central does not answer ${method} ${path}: ${String(cause.cause ?? cause)}`, { cause });
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`central answered ${answer.status} to ${method} ${path}: ${text.slice(0, 1000)}`);
    return JSON.parse(text) as Answer;
  }

  /** `plantgate …` as an administrator types it; it must end well. @returns what it printed */
  async cli(args: readonly string[], input?: string): Promise<string> {
    const way = ["--central", this.#place.peopleUrl, "--token-file", this.#place.tokenFile];
    const { code, out, err } = await plantgate([...args, ...way], { cwd: tmpdir(), ...(input === undefined ? {} : { input }) });
    if (code !== 0) throw new Error(`plantgate ${args.join(" ")} ended with ${code}: ${out}${err}`);
    return out;
  }

  /** Makes the site. @returns a token that lets its gateway in */
  async makeSite(): Promise<string> {
    await this.call("POST", "/v1/sites", { name: this.site, environment: "dev" });
    const made = await this.call<{ token: string }>("POST", `/v1/sites/${this.site}/enrollment-tokens`, { lifeSeconds: 3600 });
    return made.token;
  }

  /** Waits for a key that wants in, and lets it. @param asking who asks, until they have gone; @returns its fingerprint */
  async confirmKey(asking: Promise<unknown>): Promise<string> {
    const path = `/v1/sites/${this.site}/keys`;
    const waiting = await until(
      async () =>
        (await this.call<{ keys: { fingerprint: string; state: string }[] }>("GET", path)).keys.find(
          ({ state }) => state === "pending",
        ),
      (key) => key !== undefined,
      asking,
    );
    const { fingerprint } = waiting as { fingerprint: string };
    await this.call("POST", `${path}/${fingerprint}/confirm`);
    return fingerprint;
  }

  /** Gives the site its configuration, and waits until the gateway says that it runs it. */
  async configure(files = plantFiles(this.site)): Promise<void> {
    const { revision } = await this.call<{ revision: number }>("POST", `/v1/sites/${this.site}/revisions`, { files });
    await until(
      () => this.view(),
      (view) => view.reportedRevision === revision && ["active", "watching"].includes(view.configurationState ?? ""),
    );
  }

  async view(): Promise<SiteView> {
    const { sites } = await this.call<SitesAnswer>("GET", "/v1/sites");
    const [view] = sites;
    if (!view) throw new Error("central knows no site");
    return view;
  }

  /** All that is recorded of the plant's messages, in central's order. */
  async recorded(): Promise<Recorded> {
    const numbers: number[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const page: MessagesAnswer = await this.call(
        "GET",
        `/v1/messages?site=${this.site}&state=recorded&limit=5000&after=${after}`,
      );
      for (const { event } of page.messages) {
        const id = (event.data as { shortageId?: string } | undefined)?.shortageId;
        if (id !== undefined) numbers.push(Number(id.slice(2)));
      }
      after = page.messages.length === 0 ? null : page.next;
    }
    const { lanes } = await this.call<CompletenessAnswer>("GET", `/v1/completeness?site=${this.site}`);
    const wrong = lanes.filter(({ lost, missing, quarantined }) => lost + missing + quarantined > 0);
    return { numbers, losses: wrong.map(({ lane, summary }) => `${lane}: ${summary}`) };
  }
}

/** A process of this machine, which listens on its end of the plant's cable. */
export class CentralOutside {
  readonly name = "central";
  readonly side: CentralSide;
  readonly #process: RunningProcess;

  private constructor(process: RunningProcess, side: CentralSide) {
    this.#process = process;
    this.side = side;
  }

  static async start(address: string, folder: string): Promise<CentralOutside> {
    const dataDir = join(folder, "central");
    const process = startPlantgate(["central", "--data", dataDir, "--host", address, "--port", "0"], {
      // whoever kills this process kills it, too
      wrapper: ["setpriv", "--pdeathsig", "KILL"],
    });
    try {
      const { url } = (await process.logged("central.process.started")) as { url: string };
      return new CentralOutside(process, new CentralSide({ url, peopleUrl: url, tokenFile: join(dataDir, "admin.token") }));
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The lines that it wrote. */
  get said(): readonly string[] {
    return this.#process.output;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process[Symbol.asyncDispose]();
  }
}
