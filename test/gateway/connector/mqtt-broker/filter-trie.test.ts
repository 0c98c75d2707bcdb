import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FilterTrie } from "../../../../gateway/connector/mqtt-broker/filter-trie.ts";
import { topicMatches } from "../../../../protocol/index.ts";

const level = fc.constantFrom("a", "b", "", "$c");
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant("+")), { maxLength: 4 }), fc.constantFrom([], ["#"]))
  .map(([levels, rest]) => [...levels, ...rest].join("/"))
  .filter((filter) => filter !== "");

describe("the trie of topic filters", () => {
  it("finds for a topic what each filter by itself says, also after some are removed", () => {
    fc.assert(
      fc.property(fc.array(filters, { maxLength: 20 }), fc.array(fc.nat()), topics, (added, removed, topic) => {
        const trie = new FilterTrie<number>();
        for (const [index, filter] of added.entries()) trie.add(filter, index);
        const gone = new Set(removed.map((index) => index % (added.length + 1)));
        for (const index of gone) trie.remove(added[index] ?? "never/added", index);
        const expected = [...added.keys()].filter((index) => !gone.has(index) && topicMatches(added[index] as string, topic));
        expect([...trie.match(topic)].sort((a, b) => a - b)).toEqual(expected);
        expect(trie.matches(topic)).toBe(expected.length > 0);
      }),
    );
  });
});
