/** What is remembered of a packet id: the content that awaits its PUBREL, or that it was released. */
type Known = string | "released";

/** Clients that are remembered; past it the one that was quiet longest is forgotten. */
const maxClients = 2000;
/** Packet ids of a client, likewise. */
const maxIds = 2048;

/**
 * Judges whether a QoS 2 PUBLISH is new, or the same again. The marker that is flushed with a message may be left from a life of the
 * client that never sent PUBREL: a device that restarts counts its packet ids from 1 again, and a new message must not be taken for the
 * old one. Other content is another message, which the marker itself tells. Of the same content the DUP flag says which it is
 * (MQTT 3.1.1, 3.3.1.1); in one process it is the same also for clients that repeat without DUP.
 */
export class PacketIds {
  readonly #clients = new Map<string, Map<number, Known>>();

  /** Whether a marker of this packet id that may still be set belongs to an older message, and has to go before this one is appended. */
  isNew(client: string, packetId: number, dup: boolean, content: string): boolean {
    const known = this.#clients.get(client)?.get(packetId);
    if (known === undefined) return !dup;
    // released means that no marker is set
    return known !== "released" && known !== content;
  }

  /** The message is about to be appended, with its marker. */
  received(client: string, packetId: number, content: string): void {
    this.#note(client, packetId, content);
  }

  /** The marker is gone. */
  released(client: string, packetId: number): void {
    this.#note(client, packetId, "released");
  }

  /** The client began anew. */
  forget(client: string): void {
    this.#clients.delete(client);
  }

  #note(client: string, packetId: number, known: Known): void {
    const ids = this.#clients.get(client) ?? new Map<number, Known>();
    // the maps keep the order of insertion: the first is the one that was quiet longest
    this.#clients.delete(client);
    this.#clients.set(client, ids);
    ids.delete(packetId);
    ids.set(packetId, known);
    forgetOldest(ids, maxIds);
    forgetOldest(this.#clients, maxClients);
  }
}

function forgetOldest<K>(map: Map<K, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return;
    map.delete(key);
  }
}
