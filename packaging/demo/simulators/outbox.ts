import mqtt, { type MqttClient } from "mqtt";

export interface Parcel {
  readonly topic: string;
  readonly payload: string;
  readonly qos: 1 | 2;
  /** Awaited before the parcel goes out for the first time: its sender's own record. */
  readonly sending?: () => Promise<void> | void;
  /** The broker took it over. */
  readonly acked?: () => void;
}

export interface OutboxOptions {
  readonly url: string;
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  /** Oldest ones that were never sent make room past this many; unlimited where left out. */
  readonly limit?: number;
  readonly dropped?: (count: number) => void;
}

/**
 * What an MQTT sender still has to hand over, in order and one at a time: the head is sent again on every new connection until the broker
 * acknowledged it. Each connection is a client of its own, so that nothing of the library's outgoing store outlives a lost link.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #parcels: Parcel[] = [];
  #client: MqttClient | undefined;
  #online = false;
  #busy = false;
  #announced: Parcel | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;
  #connects = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#parcels.length;
  }

  get connects(): number {
    return this.#connects;
  }

  start(): void {
    this.#dial();
  }

  add(parcel: Parcel): void {
    if (this.#stopped) return;
    const { limit, dropped } = this.#options;
    if (limit !== undefined && this.#parcels.length >= limit) {
      // the head may already be with the broker: it stays
      this.#parcels.splice(1, 1);
      dropped?.(1);
    }
    this.#parcels.push(parcel);
    void this.#next();
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#retry);
    const client = this.#client;
    this.#client = undefined;
    if (client) await client.endAsync(true).catch(() => {});
  }

  #dial(): void {
    if (this.#stopped) return;
    const { url, clientId, username, password } = this.#options;
    const client = mqtt.connect(url, {
      clientId,
      username,
      password,
      protocolVersion: 4,
      clean: true,
      reconnectPeriod: 0,
      connectTimeout: 5000,
      keepalive: 10,
    });
    this.#client = client;
    client.on("connect", () => {
      if (this.#client !== client) return;
      this.#connects += 1;
      this.#online = true;
      this.#busy = false;
      void this.#next();
    });
    // every error is followed by a close, and the close is what counts
    client.on("error", () => {});
    client.on("close", () => {
      if (this.#client !== client) return;
      this.#client = undefined;
      this.#online = false;
      client.end(true);
      this.#retry = setTimeout(() => this.#dial(), 300 + Math.random() * 400);
    });
  }

  async #next(): Promise<void> {
    const parcel = this.#parcels[0];
    const client = this.#client;
    if (!parcel || !client || !this.#online || this.#busy || this.#stopped) return;
    this.#busy = true;
    if (this.#announced !== parcel) {
      await parcel.sending?.();
      this.#announced = parcel;
      // the link may have gone meanwhile; a new connection starts over with this parcel
      if (this.#client !== client || !this.#online) return;
    }
    client.publish(parcel.topic, parcel.payload, { qos: parcel.qos }, (error) => {
      if (error || this.#client !== client) return;
      this.#parcels.shift();
      parcel.acked?.();
      this.#busy = false;
      void this.#next();
    });
  }
}
