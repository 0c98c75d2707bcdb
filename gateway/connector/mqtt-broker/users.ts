import { createHash, timingSafeEqual } from "node:crypto";
import { filterCovers, type MqttBrokerConnectorConfig, type SecretRef, topicMatches } from "../../../protocol/index.ts";
import { TopicCache } from "./topic-cache.ts";

/** One who may connect, and what to. */
export interface User {
  readonly name: string;
  mayPublish(topic: string): boolean;
  maySubscribe(filter: string): boolean;
}

/** The users of the embedded broker. Passwords are compared by digest, in the same time for a known and an unknown name. */
export class Users {
  readonly #entries = new Map<string, { readonly user: User; readonly digest: Buffer }>();
  readonly #subscribable: readonly string[];
  readonly #receivable = new TopicCache<Users, boolean>();
  readonly #nobody = createHash("sha256").update("nobody").digest();

  /** @throws PlantgateError SECRET_MISSING */
  constructor(users: MqttBrokerConnectorConfig["users"], secret: (ref: SecretRef) => string) {
    for (const { username, password, publish, subscribe } of users) {
      const user: User = {
        name: username,
        mayPublish: (topic) => !topic.startsWith("$") && publish.some((filter) => topicMatches(filter, topic)),
        maySubscribe: (filter) => !filter.startsWith("$") && subscribe.some((grant) => filterCovers(grant, filter)),
      };
      this.#entries.set(username, { user, digest: digestOf(secret(password)) });
    }
    this.#subscribable = users.flatMap(({ subscribe }) => subscribe);
  }

  authenticate(username: string | undefined, password: Uint8Array | undefined): User | undefined {
    const entry = username === undefined ? undefined : this.#entries.get(username);
    const equal = timingSafeEqual(digestOf(password ?? ""), entry?.digest ?? this.#nobody);
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
