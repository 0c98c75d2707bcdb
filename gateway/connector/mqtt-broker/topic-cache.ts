/** What all owners keep together. */
const limits = { topics: 20_000, characters: 2 * 1024 * 1024 };

/** What was found out about topics, an owner's each: topics repeat. Past its bounds it begins anew; who invents topics pays for each. */
export class TopicCache<O, V> {
  readonly #known = new Map<O, Map<string, V>>();
  #topics = 0;
  #characters = 0;

  get(owner: O, topic: string): V | undefined {
    return this.#known.get(owner)?.get(topic);
  }

  set(owner: O, topic: string, value: V): void {
    if (this.#topics >= limits.topics || this.#characters + topic.length > limits.characters) {
      this.#known.clear();
      this.#topics = 0;
      this.#characters = 0;
    }
    const own = this.#known.get(owner) ?? new Map<string, V>();
    this.#known.set(owner, own.set(topic, value));
    this.#topics += 1;
    this.#characters += topic.length;
  }
}
