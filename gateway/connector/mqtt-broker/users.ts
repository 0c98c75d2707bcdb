import { createHash, timingSafeEqual } from "node:crypto";
import { filterCovers, type MqttBrokerConnectorConfig, type SecretRef, topicMatches } from "../../../protocol/index.ts";
import { TopicCache } from "./topic-cache.ts";

/** One who may connect, and what to. */
export interface User {
  readonly name: string;
  mayPublish(topic: string): boolean;
  maySubscribe(filter: string): boolean;
}

/**
 * The users of the embedded broker. Passwords are read when somebody connects, so that a new one needs no restart and an older one is taken as long
 * as it is good; they are compared by digest, in the same time for a known and an unknown name.
 */
export class Users {
  readonly #entries = new Map<string, { readonly user: User; readonly passwords: () => readonly string[] }>();
  readonly #subscribable: readonly string[];
  readonly #receivable = new TopicCache<Users, boolean>();
  readonly #nobody = createHash("sha256").update("nobody").digest();

  /** @throws PlantgateError SECRET_MISSING */
  constructor(users: MqttBrokerConnectorConfig["users"], secrets: (ref: SecretRef) => readonly string[]) {
    for (const { username, password, publish, subscribe } of users) {
      const user: User = {
        name: username,
        mayPublish: (topic) => !topic.startsWith("$") && publish.some((filter) => topicMatches(filter, topic)),
        maySubscribe: (filter) => !filter.startsWith("$") && subscribe.some((grant) => filterCovers(grant, filter)),
      };
      // missing now is said now, not when the first one connects
      secrets(password);
      this.#entries.set(username, { user, passwords: () => secrets(password) });
    }
    this.#subscribable = users.flatMap(({ subscribe }) => subscribe);
  }

  authenticate(username: string | undefined, password: Uint8Array | undefined): User | undefined {
    const entry = username === undefined ? undefined : this.#entries.get(username);
    const given = digestOf(password ?? "");
    const known = entry === undefined ? [this.#nobody] : entry.passwords().map(digestOf);
    // each of them is compared, whichever is right
    const equal = known.map((digest) => timingSafeEqual(given, digest)).includes(true);
    return equal && entry ? entry.user : undefined;
  }

  /** Whether any user may subscribe to this topic. */
  anyoneMayReceive(topic: string): boolean {
    const known = this.#receivable.get(this, topic);
    if (known !== undefined) return known;
    const may = this.#subscribable.some((filter) => topicMatches(filter, topic));
    this.#receivable.set(this, topic, may);
    return may;
  }
}

function digestOf(password: string | Uint8Array): Buffer {
  return createHash("sha256").update(password).digest();
}
