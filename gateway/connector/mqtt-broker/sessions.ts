import type { Client } from "aedes";
import { topicMatches } from "../../../protocol/index.ts";
import { FilterTrie } from "./filter-trie.ts";
import { Outgoing } from "./outgoing.ts";
import type { User } from "./users.ts";

/** Topic filters of one client. */
const maxFilters = 500;
/** Sessions of clients that are away, and what they have yet to get; past it the one that is away longest is forgotten. */
const away = { sessions: 2000, bytes: 32 * 1024 * 1024 };

/** What is between the broker and a client id of a user (MQTT 3.1.1, 3.1.2.4): in memory, so that it ends with the process. */
export class Session {
  readonly clientId: string;
  readonly user: User;
  readonly isClean: boolean;
  /** Topic filter → QoS. */
  readonly filters = new Map<string, number>();
  /** Packet ids of messages at QoS 2 that came, and whose PUBREL is yet to come. */
  readonly received = new Set<number>();
  readonly outgoing = new Outgoing();
  /** Who speaks for it; undefined while its client is away. */
  client: Client | undefined;

  constructor(clientId: string, user: User, isClean: boolean) {
    this.clientId = clientId;
    this.user = user;
    this.isClean = isClean;
  }

  /** At which QoS its client gets a topic; undefined: not at all. Of several subscriptions the weakest counts. */
  qosOf(topic: string): number | undefined {
    let weakest: number | undefined;
    for (const [filter, qos] of this.filters)
      if ((weakest === undefined || qos < weakest) && topicMatches(filter, topic)) weakest = qos;
    return weakest;
  }
}

/**
 * The sessions of a broker. A stored one is its user's: another user with the same client id has another. Subscriptions count while
 * their client is connected: nothing is kept for those that are away but what they were sent and have not acknowledged.
 */
export class Sessions {
  readonly #stored = new Map<User, Map<string, Session>>();
  readonly #of = new WeakMap<Client, Session>();
  /** By client id, of clients that are connected. */
  readonly #present = new Map<string, Session>();
  readonly #away = new Set<Session>();
  readonly #subscribed = new FilterTrie<Session>();
  readonly #onForgotten: () => void;

  constructor(onForgotten: () => void) {
    this.#onForgotten = onForgotten;
  }

  of(client: Client): Session | undefined {
    return this.#of.get(client);
  }

  present(clientId: string): Session | undefined {
    return this.#present.get(clientId);
  }

  /** A client is let in. */
  open(client: Client & { clean: boolean }, user: User): Session {
    const stored = this.#stored.get(user)?.get(client.id);
    if (stored && client.clean) this.#forget(stored);
    const session = stored && !client.clean ? stored : new Session(client.id, user, client.clean);
    if (!session.isClean) this.#store(session);
    session.client = client;
    this.#of.set(client, session);
    this.#present.set(client.id, session);
    this.#away.delete(session);
    for (const filter of session.filters.keys()) this.#subscribed.add(filter, session);
    return session;
  }

  /** Its connection has ended; another one may have taken the session over before. */
  close(client: Client): void {
    const session = this.#of.get(client);
    if (!session || session.client !== client) return;
    session.client = undefined;
    for (const filter of session.filters.keys()) this.#subscribed.remove(filter, session);
    if (this.#present.get(session.clientId) === session) this.#present.delete(session.clientId);
    if (session.isClean || this.#stored.get(session.user)?.get(session.clientId) !== session) return;
    if (session.filters.size + session.received.size + session.outgoing.size === 0) return this.#forget(session);
    this.#away.add(session);
    this.#boundAway();
  }

  /** False: the client has too many already. */
  subscribe(session: Session, filter: string, qos: number): boolean {
    if (!session.filters.has(filter) && session.filters.size >= maxFilters) return false;
    session.filters.set(filter, qos);
    if (session.client) this.#subscribed.add(filter, session);
    return true;
  }

  unsubscribe(session: Session, filter: string): void {
    session.filters.delete(filter);
    this.#subscribed.remove(filter, session);
  }

  /** Whether a client that is connected has subscribed to it. */
  hasSubscriber(topic: string): boolean {
    return this.#subscribed.matches(topic);
  }

  subscribersOf(topic: string): Set<Session> {
    return this.#subscribed.match(topic);
  }

  #boundAway(): void {
    let bytes = 0;
    for (const { outgoing } of this.#away) bytes += outgoing.sizeBytes;
    for (const oldest of this.#away) {
      if (this.#away.size <= away.sessions && bytes <= away.bytes) return;
      bytes -= oldest.outgoing.sizeBytes;
      this.#forget(oldest);
      this.#onForgotten();
    }
  }

  #store(session: Session): void {
    const own = this.#stored.get(session.user) ?? new Map<string, Session>();
    this.#stored.set(session.user, own.set(session.clientId, session));
  }

  #forget(session: Session): void {
    this.#away.delete(session);
    const own = this.#stored.get(session.user);
    if (own?.get(session.clientId) === session) own.delete(session.clientId);
  }
}
