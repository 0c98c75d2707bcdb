import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { existsSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  type Clock,
  type Finding,
  type Holder,
  type Known,
  known,
  type Listeners,
  type Ntp,
  notKnown,
  parseJson,
  settingsProblems,
} from "../../protocol/index.ts";
import { type CentralSettings, centralSettings } from "../settings/schema.ts";
import { SigningKey } from "../storage/signing-key.ts";

/** What the doctor is told of the central that it looks at. */
export interface CentralPlace {
  readonly dataDir: string;
  /** The process that holds the data folder; undefined: none does. */
  readonly holder: Holder | undefined;
  /** What the settings' file says; undefined where there is none. */
  readonly said: Known<Readonly<Record<string, unknown>>> | undefined;
  /** Warns of what the file says and a start passes over: `said` is without that. */
  readonly passedOver?: Finding | undefined;
  /** The settings' file; undefined where there is none. */
  readonly configFile?: string | undefined;
  readonly isService: boolean;
  /** Who listens on which TCP port, where that can be told. */
  readonly listeners: Listeners | undefined;
  /** Why nobody could listen there, whether the port is free or not; undefined: nothing is in the way. */
  readonly whyNotListen: (host: string, port: number) => Promise<string | undefined>;
  /** The built console that comes with this program. */
  readonly consoleDir: string | undefined;
  readonly clock: Clock;
  /** What keeps the machine's clock. */
  readonly ntp: () => Promise<Ntp | undefined>;
}

/** What the checks of central share; each found out once. */
export class CentralFacts {
  readonly place: CentralPlace;
  #running: Promise<"up" | "silent" | "stopped"> | undefined;
  #settings: Known<CentralSettings> | undefined;
  readonly #names = new Map<string, Promise<boolean>>();

  constructor(place: CentralPlace) {
    this.place = place;
  }

  settings(): Known<CentralSettings> {
    this.#settings ??= this.#readSettings();
    return this.#settings;
  }

  #readSettings(): Known<CentralSettings> {
    const { said, dataDir } = this.place;
    if (said && !said.known) return said;
    const parsed = centralSettings.safeParse({ ...(said?.known ? said.value : {}), dataDir });
    if (parsed.success) return known(parsed.data);
    return notKnown(settingsProblems(parsed.error));
  }

  get pid(): number | undefined {
    return this.place.holder?.pid;
  }

  /** Where it can be asked: at the address that its settings name; where these cannot be read, or a command line told them, where its process listens. */
  get url(): string | undefined {
    const settings = this.settings();
    const own = this.place.said && settings.known ? undefined : this.#listensAt();
    if (own !== undefined) return `http://127.0.0.1:${own}`;
    if (!settings.known) return undefined;
    const { host, port } = settings.value;
    const reached = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host;
    return `http://${reached}:${port}`;
  }

  /** What it is asked at is its own: not what anybody would use that was told nothing. */
  get isToldWhere(): boolean {
    return this.place.said !== undefined || this.#listensAt() !== undefined;
  }

  #listensAt(): number | undefined {
    const { listeners, holder } = this.place;
    return holder?.pid === undefined
      ? undefined
      : [...(listeners ?? [])].find(([, each]) => each.some(({ pid }) => pid === holder.pid))?.[0];
  }

  /** A start left its marks here, whatever became of them since. */
  get hasRun(): boolean {
    return ["incarnation", "ledger.seen"].some((name) => existsSync(join(this.place.dataDir, name)));
  }

  /** Of the keys that led to the folder's own, the newest last; undefined: there is none that can be read, which is said elsewhere. */
  async signingKids(): Promise<readonly string[] | undefined> {
    if (!existsSync(join(this.place.dataDir, "signing-key.json"))) return undefined;
    return SigningKey.open(this.place.dataDir).then(
      ({ chain }) => chain.map(({ kid }) => kid),
      () => undefined,
    );
  }

  running(): Promise<"up" | "silent" | "stopped"> {
    this.#running ??= (async () => {
      const answer = (await this.ask("/health")) as { status?: unknown } | undefined;
      if (!this.place.holder) return "stopped";
      return answer?.status === "up" ? "up" : "silent";
    })();
    return this.#running;
  }

  /** It runs, and does not take the token that lies in its folder. */
  async isTokenRefused(): Promise<boolean> {
    if ((await this.running()) !== "up") return false;
    const answer = await this.#get("/v1/sites");
    return answer?.status === 401;
  }

  async ask(path: string): Promise<unknown> {
    const answer = await this.#get(path);
    return answer?.ok ? parseJson(await answer.text().catch(() => "")) : undefined;
  }

  async #get(path: string): Promise<Response | undefined> {
    try {
      // without a token it can still be asked whether it lives
      const headers: Record<string, string> = path === "/health" ? {} : { authorization: `Bearer ${this.#adminToken()}` };
      return await fetch(`${this.url}${path}`, { headers, redirect: "error", signal: AbortSignal.timeout(5000) });
    } catch {
      return undefined;
    }
  }

  #adminToken(): string {
    return readFileSync(join(this.place.dataDir, "admin.token"), "utf8").trim();
  }

  /** Of a database on another machine. */
  databaseHost(): string | undefined {
    const settings = this.settings();
    const url = settings.known ? settings.value.databaseUrl : undefined;
    if (url === undefined || !URL.canParse(url)) return undefined;
    const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
    return host === "" || isIP(host) !== 0 ? undefined : host;
  }

  /** By `getent` where there is one: a silent name server would hold up this process's own lookups. */
  resolves(host: string): Promise<boolean> {
    const before = this.#names.get(host);
    if (before) return before;
    const resolving = promisify(execFile)("getent", ["ahosts", host], { timeout: 5000 }).then(
      ({ stdout }) => stdout.trim() !== "",
      (error: { code?: unknown }) =>
        error.code === "ENOENT" &&
        lookup(host).then(
          () => true,
          () => false,
        ),
    );
    this.#names.set(host, resolving);
    return resolving;
  }
}
