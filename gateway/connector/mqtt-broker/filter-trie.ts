interface Node<V> {
  readonly children: Map<string, Node<V>>;
  readonly values: Set<V>;
}

/** Topic filters, each with its values, by their levels: what a topic costs does not grow with the number of filters. */
export class FilterTrie<V> {
  readonly #root: Node<V> = { children: new Map(), values: new Set() };

  add(filter: string, value: V): void {
    let node = this.#root;
    for (const level of filter.split("/")) {
      const next = node.children.get(level) ?? { children: new Map(), values: new Set() };
      node.children.set(level, next);
      node = next;
    }
    node.values.add(value);
  }

  remove(filter: string, value: V): void {
    remove(this.#root, filter.split("/"), 0, value);
  }

  /** Whether any filter matches (MQTT 3.1.1, 4.7). */
  matches(topic: string): boolean {
    if (this.#root.children.size === 0) return false;
    return !this.#walk(topic, () => false);
  }

  /** The values of the filters that match, each once. */
  match(topic: string): Set<V> {
    const found = new Set<V>();
    if (this.#root.children.size > 0) {
      this.#walk(topic, (values) => {
        for (const value of values) found.add(value);
        return true;
      });
    }
    return found;
  }

  #walk(topic: string, visit: (values: Set<V>) => boolean): boolean {
    return walk(this.#root, topic.split("/"), 0, !topic.startsWith("$"), visit);
  }
}

/** False: `visit` has seen enough. */
function walk<V>(
  node: Node<V>,
  levels: readonly string[],
  at: number,
  wildcards: boolean,
  visit: (values: Set<V>) => boolean,
): boolean {
  if (wildcards) {
    const rest = node.children.get("#");
    if (rest && rest.values.size > 0 && !visit(rest.values)) return false;
  }
  const level = levels[at];
  if (level === undefined) return node.values.size === 0 || visit(node.values);
  const next = node.children.get(level);
  // a topic's level that is itself "+" or "#" is none: no topic holds a wildcard
  if (next && !walk(next, levels, at + 1, true, visit)) return false;
  const any = wildcards ? node.children.get("+") : undefined;
  return !any || walk(any, levels, at + 1, true, visit);
}

/** True: the node is empty. */
function remove<V>(node: Node<V>, levels: readonly string[], at: number, value: V): boolean {
  const level = levels[at];
  if (level === undefined) node.values.delete(value);
  else {
    const next = node.children.get(level);
    if (next && remove(next, levels, at + 1, value)) node.children.delete(level);
  }
  return node.values.size === 0 && node.children.size === 0;
}
