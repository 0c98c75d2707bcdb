import type { Client } from "aedes";
import type { Gate } from "./gate.ts";
import type { Link } from "./link.ts";
import type { User } from "./users.ts";

/** Connections that nobody has been let in over. */
const maxStrangers = 200;
/** Clients that are let in. */
const maxLinks = 1000;

/** What the broker has open: each connection, and who speaks over it. */
export class Connections {
  readonly #gates = new Map<Client, Gate>();
  /** The oldest first. */
  readonly #strangers = new Set<Gate>();
  readonly #links = new Map<Client, Link>();
  readonly #byId = new Map<string, Link>();
  /** Also of connections that have ended, for their wills. */
  readonly #userOf = new WeakMap<Client, User>();

  /** With some to spare: who gives way is chosen here, and takes a moment to end. */
  static readonly most = maxLinks + maxStrangers + 100;

  /** A connection begins. Past the bound the oldest that nobody was let in over gives way: a crowd of them keeps no device out. */
  begin(client: Client, gate: Gate): { readonly gaveWay: boolean } {
    this.#gates.set(client, gate);
    this.#strangers.add(gate);
    gate.once("close", () => {
      this.#gates.delete(client);
      this.#strangers.delete(gate);
    });
    if (this.#strangers.size <= maxStrangers) return { gaveWay: false };
    for (const oldest of this.#strangers) {
      this.#strangers.delete(oldest);
      oldest.destroy();
      break;
    }
    return { gaveWay: true };
  }

  get hasRoom(): boolean {
    return this.#links.size < maxLinks;
  }

  gateOf(client: Client): Gate | undefined {
    return this.#gates.get(client);
  }

  /** A client is let in. */
  add(client: Client, link: Link): void {
    const gate = this.#gates.get(client);
    if (gate) this.#strangers.delete(gate);
    this.#links.set(client, link);
    this.#byId.set(link.clientId, link);
    this.#userOf.set(client, link.user);
    gate?.once("close", () => {
      this.#links.delete(client);
      if (this.#byId.get(link.clientId) === link) this.#byId.delete(link.clientId);
    });
  }

  linkOf(client: Client): Link | undefined {
    return this.#links.get(client);
  }

  userOf(client: Client): User | undefined {
    return this.#userOf.get(client);
  }

  /** The newest with this client id whose connection has not ended. */
  withId(clientId: string): Link | undefined {
    const link = this.#byId.get(clientId);
    return link?.client.closed ? undefined : link;
  }

  links(): Iterable<Link> {
    return this.#links.values();
  }

  endAll(): void {
    for (const gate of this.#gates.values()) gate.destroy();
  }
}
