import { accessSync, constants, existsSync } from "node:fs";
import { join } from "node:path";
import {
  type Bundle,
  builtInYear,
  type Clock,
  describeError,
  type EpochMs,
  type Finding,
  type Holder,
  type Known,
  known,
  type Listeners,
  type NotKnown,
  type Ntp,
  notKnown,
  PlantgateError,
  parseJson,
  secretsIn,
  settingsProblems,
} from "../../protocol/index.ts";
import { machineDisk } from "../agent/disk.ts";
import { AgentDocuments, type AgentState } from "../agent/documents.ts";
import { readBundle } from "../agent/signed-bundle.ts";
import { CentralKeys } from "../identity/central-keys.ts";
import { type KeyPair, lookAtKeys, readCentralKey } from "../identity/identity.ts";
import { requireWhole } from "../move/marks.ts";
import { SecretStore } from "../secret/secret-store.ts";
import { type GatewaySettings, gatewaySettings } from "../settings/schema.ts";
import { readStored } from "../settings/stored.ts";
import type { Logger } from "../telemetry/logger.ts";
import { version } from "../version.ts";
import { type CentralProbe, probeCentral, wrongClockMs } from "./central.ts";
import { addressOf, type ConnectorProbe, probeConnector } from "./connector-probe.ts";
import { diskIsFull } from "./disk.ts";
import { hostOf } from "./look.ts";
import type { NameServers } from "./name-servers.ts";
import { resolves } from "./names.ts";
import { lookIntoQueue } from "./queue.ts";
import { findRunning, type Running } from "./running.ts";
import { writtenAfter } from "./written-after.ts";

/** What the doctor is told of the gateway that it looks at. */
export interface Place {
  readonly dataDir: string;
  /** The process that holds the data folder; undefined: none does. */
  readonly holder: Holder | undefined;
  /** What the settings' file says; undefined where there is none. */
  readonly said: Known<Readonly<Record<string, unknown>>> | undefined;
  /** Warns of what the file says and a start passes over: `said` is without that. */
  readonly passedOver?: Finding | undefined;
  /** The settings' file; undefined where there is none. */
  readonly configFile?: string | undefined;
  /** A service of this machine runs it, and has a check of its own. */
  readonly isService: boolean;
  /** The machine's secrets, one file a name, as root alone reads them: whether there is something in each, looked at before. */
  readonly machineSecrets: ReadonlyMap<string, "filled" | "empty">;
  /** Who listens on which TCP port, where that can be told. */
  readonly listeners: Listeners | undefined;
  /** Why nobody could listen there, whether the port is free or not; undefined: nothing is in the way. */
  readonly whyNotListen: (host: string, port: number) => Promise<string | undefined>;
  /** Authorities (PEM) that its process trusts: the runtime's, and those that it was told of. Undefined: the runtime's alone. */
  readonly authorities: string | undefined;
  /** What lies in `agent.db`, as root read it; for names and addresses alone. */
  readonly documents?: Buffer | undefined;
  readonly clock: Clock;
  /** What keeps the machine's clock. */
  readonly ntp: () => Promise<Ntp | undefined>;
  /** What the machine's name servers make of names that do not resolve, beside others that do; undefined: that cannot be told. */
  readonly nameServers: (names: readonly string[], others: readonly string[]) => Promise<NameServers | undefined>;
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

/**
 * What the checks of a gateway share: each is found out once, when the first of them asks. One that cannot be known says why, and the check that it
 * belongs to reports it; the others do not repeat it.
 */
export class Facts {
  readonly place: Place;
  readonly #found = new Map<string, unknown>();

  constructor(place: Place) {
    this.place = place;
  }

  #once<Value>(name: string, find: () => Promise<Value>): Promise<Value> {
    const before = this.#found.get(name) as Promise<Value> | undefined;
    if (before) return before;
    const finding = find();
    // whoever asks gets it as well
    finding.catch(() => {});
    this.#found.set(name, finding);
    return finding;
  }

  running(): Promise<Running> {
    return this.#once("running", () => findRunning(this.place.dataDir, this.place.holder));
  }

  /** With which settings the gateway runs, or would: the file's over what enrollment stored; else those that the running one names. */
  settings(): Promise<Known<GatewaySettings>> {
    return this.#once("settings", async () => {
      const { dataDir } = this.place;
      const said = this.place.said?.known ? this.place.said.value : {};
      try {
        requireWhole(dataDir);
        const stored = readStored(dataDir);
        const running = stored ? undefined : await this.running();
        const told = running?.kind === "running" ? running.status?.settings : undefined;
        if (told?.proxy !== undefined && new URL(String(told.proxy)).password === "redacted")
          return notKnown(
            "the password of the proxy is known to the gateway that runs alone: give --config a file with its settings",
          );
        const raw = { ...told, ...stored, ...said, dataDir };
        if (!("site" in raw) || !("centralUrl" in raw)) return notKnown("this gateway is not enrolled");
        const parsed = gatewaySettings.safeParse(raw);
        if (parsed.success) return known(parsed.data);
        return notKnown(settingsProblems(parsed.error));
      } catch (error) {
        return whyNot(error);
      }
    });
  }

  keys(): Promise<Known<readonly KeyPair[]>> {
    return this.#once("keys", async () => {
      try {
        const pairs = lookAtKeys(this.place.dataDir);
        return pairs ? known(pairs) : notKnown("the gateway's key is missing");
      } catch (error) {
        const { why, denied = false } = whyNot(error);
        return { ...notKnown(`the gateway's key cannot be read from identity/gateway.key: ${why}`), denied };
      }
    });
  }

  centralKeys(): Promise<Known<CentralKeys>> {
    return this.#once("central keys", async () => {
      const settings = await this.settings();
      try {
        const file = settings.known ? settings.value.centralKeyFile : undefined;
        const handedOver = file === undefined ? undefined : readCentralKey(file);
        return known(CentralKeys.open({ dataDir: this.place.dataDir, handedOver }));
      } catch (error) {
        return whyNot(error);
      }
    });
  }

  /** Undefined: none has come yet. */
  configuration(): Promise<Known<{ readonly bundle: Bundle | undefined; readonly state: AgentState }>> {
    return this.#once("configuration", async () => {
      const [settings, centralKeys] = await Promise.all([this.settings(), this.centralKeys()]);
      if (!settings.known) return settings;
      if (!centralKeys.known) return centralKeys;
      try {
        const file = join(this.place.dataDir, "agent.db");
        const documents = await this.#documents();
        if (documents.setAside !== undefined) return notKnown(`${file} cannot be read`);
        const state = await documents.state();
        const runs = state.trial ?? state.good;
        if (!runs) return known({ bundle: undefined, state });
        const jws = await documents.bundle(runs);
        if (jws === undefined) return notKnown(`${file} does not hold revision ${runs.revision}, which is in effect`);
        const { site } = settings.value;
        return known({ bundle: await readBundle(jws, "disk", { site, centralKeys: centralKeys.value, version }), state });
      } catch (error) {
        return whyNot(error);
      }
    });
  }

  /** For names and addresses: where only the keys to judge it by stand in the way, as it lies on disk. Nothing is trusted for that. */
  async bundle(): Promise<Bundle | undefined> {
    const configuration = await this.configuration();
    return configuration.known ? configuration.value.bundle : this.#unjudged();
  }

  #unjudged(): Promise<Bundle | undefined> {
    return this.#once("unjudged bundle", async () => {
      try {
        const jws = await this.#runningBundle();
        if (jws === undefined) return undefined;
        const payload = Buffer.from(jws.split(".")[1] ?? "", "base64url");
        const { site } = parseJson(payload.toString("utf8")) as { site: string };
        return await readBundle(jws, "disk", { site, centralKeys: { verify: async () => payload }, version });
      } catch {
        return undefined;
      }
    });
  }

  /** The key that is pinned here is none of the central that sent what lies on disk: nothing that it signed can be judged. */
  isPinnedAnother(): Promise<boolean> {
    return this.#once("pinned", async () => {
      if ((await this.central()).isAnother) return true;
      const centralKeys = await this.centralKeys();
      // what cannot be read is said elsewhere
      const jws = await this.#runningBundle().catch(() => undefined);
      return centralKeys.known && jws !== undefined && !centralKeys.value.knowsSignerOf(jws);
    });
  }

  async #runningBundle(): Promise<string | undefined> {
    const documents = await this.#documents(this.place.documents);
    const { trial, good } = await documents.state();
    const runs = trial ?? good;
    return runs && documents.bundle(runs);
  }

  /** Only read: a file that cannot be read stays where it is. */
  #documents(content?: Buffer): Promise<AgentDocuments> {
    const read = content ? async () => content : machineDisk.read;
    const disk = { ...machineDisk, read, rename: async () => {} };
    return AgentDocuments.open(join(this.place.dataDir, "agent.db"), { disk });
  }

  /**
   * The secrets that the configuration names, each with its values: none where it is there and may not be seen, undefined where it is missing.
   * `damaged`: why central's could not be read.
   */
  secrets(): Promise<
    Known<{ readonly values: ReadonlyMap<string, readonly string[] | undefined>; readonly damaged: string | undefined }>
  > {
    return this.#once("secrets", async () => {
      const [settings, keys, centralKeys] = await Promise.all([this.settings(), this.keys(), this.centralKeys()]);
      const bundle = await this.bundle();
      if (!bundle && !settings.known) return settings;
      if (!bundle && !centralKeys.known) return centralKeys;
      const sealed = join(this.place.dataDir, "secrets.sealed");
      const denied = existsSync(sealed) ? deniedTo(sealed) : undefined;
      if (denied) return denied;
      let damaged: string | undefined;
      const log: Logger = { ...silent, error: ({ reason }) => (damaged = String(reason)) };
      const { dataDir, clock, machineSecrets } = this.place;
      // without a key of ours or of central's what is sealed stays unknown, which is no fault of the secrets
      const isSealed = !(keys.known && centralKeys.known && settings.known) && existsSync(sealed);
      const verify = async (): Promise<never> => {
        throw new PlantgateError("SIGNATURE_INVALID", "there is no key to judge it by");
      };
      const sealingKeys = () => (keys.known ? keys.value.map(({ sealing }) => sealing) : []);
      const store = await SecretStore.open({
        ...{ site: settings.known ? settings.value.site : (bundle?.site ?? ""), dataDir, clock, log, sealingKeys },
        centralKeys: centralKeys.known ? centralKeys.value : { verify },
        centralNow: () => undefined,
      });
      const values = new Map<string, readonly string[] | undefined>();
      for (const { name } of bundle ? secretsIn(bundle) : []) {
        const ofMachine = machineSecrets.get(name);
        try {
          const found = store.all({ secret: name });
          // what systemd hands over goes before a file of the folder
          values.set(name, found[0] === "" && ofMachine === "filled" ? [] : found);
        } catch {
          values.set(name, ofMachine === "empty" ? [""] : isSealed || ofMachine === "filled" ? [] : undefined);
        }
      }
      return known({ values, damaged: isSealed ? undefined : damaged });
    });
  }

  /** Names that have to resolve here, and who uses them. */
  hosts(): Promise<ReadonlyMap<string, string[]>> {
    return this.#once("hosts", async () => {
      const hosts = new Map<string, string[]>();
      const add = (host: string, user: string): void => {
        hosts.set(host, [...(hosts.get(host) ?? []), user]);
      };
      const settings = await this.settings();
      if (settings.known) {
        const { proxy, centralUrl } = settings.value;
        // a proxy resolves the name of central
        if (proxy === undefined) add(hostOf(centralUrl), "central");
        else add(hostOf(proxy), "the proxy to central");
      }
      for (const [name, { config }] of Object.entries((await this.bundle())?.connectors ?? {})) {
        const address = addressOf(config);
        if (address) add(address.host, name);
      }
      return hosts;
    });
  }

  resolves(host: string): Promise<boolean> {
    return this.#once(`name ${host}`, () => resolves(host));
  }

  queue(): Promise<ReturnType<typeof lookIntoQueue>> {
    return this.#once("queue", async () => {
      // the look holds up all else that goes on here, and a process that was asked would seem silent
      await this.running();
      return lookIntoQueue(this.place.dataDir);
    });
  }

  diskIsFull(): Promise<boolean> {
    return this.#once("disk", () => diskIsFull(this.place.dataDir));
  }

  central(): Promise<CentralProbe> {
    return this.#once("central", () => probeCentral(this));
  }

  /** Now by central's clock, as far as it was reached; dates of certificates are judged by that. */
  async trueNow(): Promise<EpochMs> {
    return this.place.clock.now() + ((await this.skewMs()) ?? 0);
  }

  /** Whether dates can be judged by that: central's time is known, or nothing speaks against ours. */
  async isTimeKnown(): Promise<boolean> {
    return (await this.skewMs()) !== undefined || (await this.againstClock()) === undefined;
  }

  /** Whether what OpenSSL says of dates, by our own clock, is so. */
  async isClockRight(): Promise<boolean> {
    const skewMs = await this.skewMs();
    return skewMs === undefined ? (await this.againstClock()) === undefined : Math.abs(skewMs) <= wrongClockMs;
  }

  /** What says that our clock is wrong, where central cannot be asked; undefined: nothing does. */
  async againstClock(): Promise<string | undefined> {
    if (await this.isKept()) return undefined;
    const now = this.place.clock.now();
    return new Date(now).getUTCFullYear() < builtInYear
      ? `this program was built in ${builtInYear} or later`
      : writtenAfter(this.place.dataDir, now + wrongClockMs);
  }

  /** NTP says that it keeps our clock, and it is not that of a machine without one. */
  async isKept(): Promise<boolean> {
    return (await this.ntp()) === "kept" && new Date(this.place.clock.now()).getUTCFullYear() >= builtInYear;
  }

  ntp(): Promise<Ntp | undefined> {
    return this.#once("ntp", () => this.place.ntp());
  }

  /** How far our clock is behind central's; where it is not reached, as the running gateway last heard it. */
  async skewMs(): Promise<number | undefined> {
    const { skewMs } = await this.central();
    if (skewMs !== undefined) return skewMs;
    const heard = (await this.#heard)?.skewMs;
    return Number.isFinite(heard) ? heard : undefined;
  }

  get #heard(): Promise<{ readonly skewMs: number } | undefined> {
    return this.#once("heard", async () => {
      const running = await this.running();
      const told = running.kind === "running" ? running.status?.centralTime : undefined;
      return told === undefined || running.kind !== "running" ? undefined : { skewMs: Date.parse(told) - running.askedAt };
    });
  }

  connector(name: string): Promise<ConnectorProbe> {
    return this.#once(`connector ${name}`, () => probeConnector(this, name));
  }
}

/** What may not be read is a matter of permissions, which have a check of their own. */
function whyNot(error: unknown): NotKnown {
  return { ...notKnown(describeError(error)), denied: isDenied(error) };
}

function deniedTo(file: string): NotKnown | undefined {
  try {
    accessSync(file, constants.R_OK);
    return undefined;
  } catch (error) {
    return whyNot(error);
  }
}

function isDenied(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause)
    if (["EACCES", "EPERM"].includes((each as NodeJS.ErrnoException).code ?? "")) return true;
  return false;
}
