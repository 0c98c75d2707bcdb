import { vi } from "vitest";
import type { Outbound } from "../../../../gateway/connector/connector.ts";
import { encodeHandedDown } from "../../../../gateway/link/handed-down.ts";
import type { Delivery } from "../../../../gateway/queue/change.ts";
import type { QueueStore } from "../../../../gateway/queue/store.ts";
import { type Bundle, type CloudEvent, makeEvent, systemClock } from "../../../../protocol/index.ts";
import { pick, released } from "../../../support/messages.ts";
import { openStore, TestKernel } from "../../../support/queue-store.ts";
import { type Fate, Peer } from "./peer.ts";
import { type Effects, type Place, type PlantGateway, placesOf, plantBundle, type Rules, startPlantGateway } from "./plant.ts";

export const connectors = ["warehouse", "line", "terminal"] as const;
export type Poison = "busy" | "away" | "refused";

/** What may happen to a plant's deliveries, in any order. */
export type Step =
  | {
      readonly do: "receive";
      readonly what: "order" | "plan" | "command";
      readonly key: number;
      readonly count: number;
      readonly poison: Poison | null;
      readonly waitedMs: number;
      readonly again: boolean;
      readonly dated: boolean;
    }
  | { readonly do: "script"; readonly peer: number; readonly fates: readonly Fate[]; readonly asked: readonly boolean[] }
  | { readonly do: "turn"; readonly peer: number; readonly up: boolean }
  | { readonly do: "crash" | "reboot"; readonly offMs: number }
  | { readonly do: "clock"; readonly years: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "link"; readonly up: boolean }
  | { readonly do: "decide"; readonly which: number; readonly decision: "retry" | "done" | "discard" }
  | { readonly do: "configure"; readonly rules: Rules };

/** A message that this plant took from central, and where it was to go when its deliveries were made. */
export interface Taken {
  readonly event: CloudEvent;
  readonly line: string;
  readonly sequence: number;
  /** Real time from which its age counts. */
  readonly since: number;
  readonly again: boolean;
  readonly dated: boolean;
  readonly poison: Poison | null;
  /** Machine restarts before it came. */
  readonly reboots: number;
  /** By each configuration that ran between its coming and its dispatch. */
  readonly places: (readonly Place[])[];
}

export interface Decided {
  readonly messageId: string;
  readonly connector: string;
  readonly decision: "retry" | "done" | "discard";
}

/** A receiver's own word, on its way to a gateway that acknowledges it. */
interface Said {
  readonly peer: Peer;
  readonly topic: string;
  readonly payload: object;
}

/** A plant beside what was done to it: the machine, the gateway's processes one after the other, the systems behind its connectors. */
export class Subject {
  readonly peers: ReadonlyMap<string, Peer>;
  readonly taken: Taken[] = [];
  readonly decided: Decided[] = [];
  readonly effects: Effects;
  readonly #folder: string;
  readonly #kernel = new TestKernel();
  readonly #said: Said[] = [];
  #rules: Rules;
  #bundle!: Bundle;
  #gateway!: PlantGateway;
  #store!: QueueStore;
  #offMs = 0;
  #bootedAt = performance.now();
  #wallMs = 1_700_000_000_000;
  #linked = true;
  #revision = 0;
  reboots = 0;

  constructor(folder: string, effects: Effects, rules: Rules) {
    this.#folder = folder;
    this.effects = effects;
    this.#rules = rules;
    this.#kernel.uptimeMs = () => performance.now() - this.#bootedAt + 1000;
    const trueNow = (): number => this.trueNow();
    const say = (peer: Peer, message: Outbound, afterMs: number): void => this.#say(peer, message, afterMs);
    this.peers = new Map(connectors.map((name) => [name, new Peer(name, trueNow, say)]));
  }

  get store(): QueueStore {
    return this.#store;
  }

  /** Time as the world has it: machines that are off do not stop it. */
  trueNow(): number {
    return performance.now() + this.#offMs;
  }

  async start(): Promise<void> {
    const now = (): number => this.#wallMs + performance.now();
    const readSpace = () => ({ freeBytes: 1e12, sizeBytes: 0 });
    this.#store = openStore(this.#folder, { kernel: this.#kernel, now, readSpace });
    // no power is cut here: what a process wrote is there for the next
    this.#store.database.exec("PRAGMA synchronous = OFF");
    const clock = { ...systemClock, now };
    const centralNow = (): number | undefined => (this.#linked ? this.#centralNow() : undefined);
    const { peers } = this;
    this.#gateway = startPlantGateway({ store: this.#store, dataDir: this.#folder, clock, peers, centralNow });
    await this.#configure(this.#rules);
    for (const said of [...this.#said]) this.#offer(said);
  }

  async #configure(rules: Rules): Promise<void> {
    this.#rules = rules;
    for (const taken of this.taken)
      if (taken.sequence > this.#store.position("inbound").dispatched)
        taken.places.push(placesOf(taken.event.type, this.effects, rules));
    this.#bundle = await plantBundle(this.effects, rules);
    const applied = this.#gateway.apply(this.#bundle);
    await this.#until(applied);
  }

  /** Time passes until this is done. */
  async #until(work: Promise<unknown>): Promise<void> {
    let done = false;
    const ended = work.finally(() => {
      done = true;
    });
    for (let turn = 0; !done && turn < 10_000; turn++) await vi.advanceTimersByTimeAsync(1);
    await ended;
  }

  #centralNow(): number {
    return Math.floor((1_800_000_000_000 + this.trueNow()) / 1000) * 1000;
  }

  async apply(step: Step): Promise<void> {
    switch (step.do) {
      case "receive":
        return this.#receive(step);
      case "script":
        return this.#peer(step.peer).script(step.fates, step.asked);
      case "turn":
        this.#peer(step.peer).up = step.up;
        return;
      case "crash":
      case "reboot":
        return this.#end(step.offMs, step.do === "reboot");
      case "clock":
        this.#wallMs += step.years * 365 * 86_400_000;
        return;
      case "wait":
        await vi.advanceTimersByTimeAsync(step.ms);
        return;
      case "link":
        this.#linked = step.up;
        return;
      case "decide":
        return this.#decide(step);
      case "configure":
        return this.#configure(step.rules);
    }
  }

  #peer(index: number): Peer {
    return this.peers.get(connectors[index] as string) as Peer;
  }

  async #receive({ what, key, count, poison, waitedMs, again, dated }: Extract<Step, { do: "receive" }>): Promise<void> {
    const events = Array.from({ length: count }, (_, index) => this.#event(what, key, this.taken.length + index + 1));
    const first = this.#store.position("inbound").last + 1;
    const handed = { waitedMs, again, ...(dated ? { centralAt: this.#centralNow() } : {}) };
    const lines = events.map((event) => JSON.stringify(event));
    for (const [index, event] of events.entries()) {
      if (poison !== null) for (const peer of this.peers.values()) peer.poison.set(event.id, poison);
      this.taken.push({
        event,
        line: lines[index] as string,
        sequence: first + index,
        since: this.trueNow() - waitedMs,
        again,
        dated,
        poison,
        reboots: this.reboots,
        places: [placesOf(event.type, this.effects, this.#rules)],
      });
    }
    const messages = lines.map((line, input) => ({ lane: "inbound", line, input }) as const);
    await this.#until(this.#gateway.queue.commit({ messages, inputs: lines.map(() => encodeHandedDown(handed)) }));
  }

  #event(what: "order" | "plan" | "command", key: number, n: number): CloudEvent {
    const origin = { id: `${what}-${n}`, recordedAt: 0 };
    if (what === "order") return released("hq", `mo-${key}`, n, origin);
    if (what === "command") return pick("hq", `txn-${n}`, { ...origin, moId: `mo-${key}` });
    const data = { scheduleId: "S", revision: n, workCentre: `press-${key}`, entries: [] };
    return makeEvent("schedule.revised", data, { ...origin, site: "hq", connector: "erp" });
  }

  /** The process ends where it is. What was noted is on disk; all else is gone with it. */
  async #end(offMs: number, machine: boolean): Promise<void> {
    this.#gateway.die();
    this.#store.close();
    if (machine) {
      this.reboots += 1;
      this.#offMs += offMs;
      this.#kernel.boot = `boot-${this.reboots + 1}`;
      this.#bootedAt = performance.now();
    } else await vi.advanceTimersByTimeAsync(offMs);
    await this.start();
  }

  async #decide({ which, decision }: Extract<Step, { do: "decide" }>): Promise<void> {
    const open = this.rows().filter(({ state }) => state === "unknown" || state === "parked");
    const row = open[which % Math.max(1, open.length)];
    if (!row) return;
    const said = this.#gateway.decisions.decide(row.id, { decision, by: "maria", reason: "looked at it" });
    let kind: string | undefined;
    await this.#until(said.then((outcome) => (kind = outcome.kind)));
    if (kind === "decided") this.decided.push({ messageId: row.messageId, connector: row.connector, decision });
  }

  rows(): Delivery[] {
    const ids = this.#store.database.prepare("SELECT id FROM deliveries ORDER BY id").all() as { id: number }[];
    return ids.map(({ id }) => this.#store.delivery(id) as Delivery);
  }

  #say(peer: Peer, message: Outbound, afterMs: number): void {
    const { data, id } = message.event;
    const verdict = { accepted: peer.words.get(id) === true };
    const topic = message.kind === "topic" ? `${message.topic}/ack` : "";
    const payload = data.txnId === undefined ? { order: data.moId, revision: data.revision } : { txn: data.txnId };
    const said = { peer, topic, payload: { ...payload, ...verdict } };
    setTimeout(() => {
      this.#said.push(said);
      this.#offer(said);
    }, afterMs);
  }

  /** The broker keeps what no gateway has acknowledged, for the next one. */
  #offer(said: Said): void {
    void this.#gateway.hear(said.peer.name, said.topic, said.payload).then(
      () => void this.#said.splice(this.#said.indexOf(said), 1),
      () => {},
    );
  }

  /** All that disturbs ends: what can be delivered is, by and by. */
  async calm(): Promise<void> {
    for (const peer of this.peers.values()) {
      peer.script([], []);
      peer.up = true;
    }
    this.#linked = true;
    await this.#configure({ ...this.#rules, hasLine: true });
    await vi.advanceTimersByTimeAsync(90_000);
  }

  close(): void {
    this.#gateway.die();
    this.#store.close();
    vi.clearAllTimers();
  }
}
