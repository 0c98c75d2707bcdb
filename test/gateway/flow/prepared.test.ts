import { expect, it } from "vitest";
import { mergeChanges, withOwnBytes } from "../../../gateway/flow/prepared.ts";
import type { Change, DeadLetter } from "../../../gateway/queue/change.ts";

const sender = (place: string) => ({ connector: "wms", flow: "picks", place, receivedAt: 1 });
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

it("keeps each message with its input and its sender when inputs share a change", () => {
  const changes: Change[] = [
    { messages: [{ lane: "telemetry", line: "s" }], inputs: [], senders: [] },
    {
      messages: [
        { lane: "transaction", line: "a1", input: 0 },
        { lane: "transaction", line: "a2", input: 0 },
      ],
      inputs: [Buffer.from("a")],
      senders: [sender("topic/a")],
    },
    { messages: [{ lane: "transaction", line: "b", input: 0 }], inputs: [Buffer.from("b")], senders: [sender("topic/b")] },
  ];
  const { messages = [], inputs = [], senders = [] } = mergeChanges(changes);
  expect(
    messages.map(({ line, input }) =>
      input === undefined ? [line] : [line, text(inputs[input] as Uint8Array), senders[input]?.place],
    ),
  ).toEqual([["s"], ["a1", "a", "topic/a"], ["a2", "a", "topic/a"], ["b", "b", "topic/b"]]);
});

it("lets no exactly-once input share a change: its marker decides over the whole of it", () => {
  const marked: Change = { messages: [], marker: { client: "c", packetId: 1 } };
  expect(mergeChanges([marked])).toBe(marked);
  expect(() => mergeChanges([marked, { messages: [] }])).toThrow(expect.objectContaining({ code: "INVARIANT" }));
});

it("takes its bytes out of the chunk that they were read with, once each", () => {
  const chunk = Buffer.from(`${"x".repeat(1000)}onetwo`);
  const [one, two] = [chunk.subarray(1000, 1003), chunk.subarray(1003)];
  const letter = { id: "d", body: one } as unknown as DeadLetter;
  const { inputs = [], deadLetters = [] } = withOwnBytes({ inputs: [one, two, one], deadLetters: [letter] });
  expect(inputs.map(text)).toEqual(["one", "two", "one"]);
  // the queue keeps the same input once
  expect(inputs[2]).toBe(inputs[0]);
  expect(new Set(inputs.map(({ buffer }) => buffer)).size).toBe(1);
  expect(inputs[0]!.buffer.byteLength).toBe(6);
  expect(deadLetters.map(({ body }) => [text(body), body.buffer.byteLength])).toEqual([["one", 3]]);
});
