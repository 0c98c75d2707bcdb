import fc from "fast-check";
import { expect, it } from "vitest";
import { acknowledgements, isAccepted, isWhole, PacketCutter, readPublish } from "../../../../gateway/connector/mqtt/packets.ts";

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint16(bytes.length), bytes]);
};
const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);

function variable(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  do {
    bytes.push((left % 128) | (left > 127 ? 0x80 : 0));
    left = Math.floor(left / 128);
  } while (left > 0);
  return Buffer.from(bytes);
}

function packet(first: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([first]), variable(body.length), body]);
}

/** A PUBLISH as the standard writes it (3.3); `properties` makes it one of MQTT 5. */
function publish(message: {
  topic: string;
  payload: Uint8Array;
  qos: number;
  retained: boolean;
  packetId: number;
  properties?: Uint8Array;
}): Buffer {
  const { topic, payload, qos, retained, packetId, properties } = message;
  const parts = [text(topic), ...(qos > 0 ? [uint16(packetId)] : [])];
  if (properties) parts.push(variable(properties.length), Buffer.from(properties));
  return packet(0x30 | (qos << 1) | (retained ? 1 : 0), Buffer.concat([...parts, payload]));
}

const limits = { packetBytes: 50_000, headBytes: 1000 };

const message = fc.record({
  topic: fc.string({ minLength: 1, maxLength: 40, unit: "grapheme" }),
  payload: fc.uint8Array({ maxLength: 300 }),
  qos: fc.integer({ min: 0, max: 2 }),
  retained: fc.boolean(),
  packetId: fc.integer({ min: 1, max: 65_535 }),
});

it("cuts a stream into the packets that were put in, whatever the chunks", () => {
  const packets = fc.array(
    fc.oneof(
      message.map(publish),
      fc.constant(Buffer.from([0xd0, 0])),
      fc.integer({ min: 0, max: 40_000 }).map((length) => packet(0x90, Buffer.alloc(length, 7))),
    ),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(packets, fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 50 }), (sent, sizes) => {
      const bytes = Buffer.concat(sent);
      const cutter = new PacketCutter(limits);
      const received: Buffer[] = [];
      for (let at = 0, n = 0; at < bytes.length; n++) {
        const end = at + (sizes[n % sizes.length] as number);
        received.push(...cutter.cut(bytes.subarray(at, end)));
        at = end;
      }
      expect(received.map((each) => each.toString("hex"))).toEqual(sent.map((each) => each.toString("hex")));
    }),
    { numRuns: 300 },
  );
});

it("keeps of a packet that is too large its head, whatever the chunks, and goes on behind it", () => {
  const small = { packetBytes: 2000, headBytes: 1000 };
  const packets = fc.array(
    fc.oneof(
      message.map(publish),
      fc.integer({ min: 0, max: 20_000 }).map((length) => packet(0x30, Buffer.alloc(length, length))),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(packets, fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 50 }), (sent, sizes) => {
      const bytes = Buffer.concat(sent);
      const cutter = new PacketCutter(small);
      const received: Buffer[] = [];
      for (let at = 0, n = 0; at < bytes.length; n++) {
        const end = at + (sizes[n % sizes.length] as number);
        received.push(...cutter.cut(bytes.subarray(at, end)));
        at = end;
      }
      const kept = sent.map((each) => (each.length > small.packetBytes ? each.subarray(0, small.headBytes) : each));
      expect(received.map((each) => each.toString("hex"))).toEqual(kept.map((each) => each.toString("hex")));
      expect(received.map(isWhole)).toEqual(sent.map((each) => each.length <= small.packetBytes));
      expect(cutter.isInPacket).toBe(false);
    }),
    { numRuns: 300 },
  );
});

it.each([
  ["a payload", 100, 1_000_000],
  ["properties that do not fit into the head", 300_000, 700_000],
])("reads the head of a PUBLISH with %s, and how long it was", (_what, propertiesBytes, payloadBytes) => {
  const sent = { topic: "a/b", payload: Buffer.alloc(payloadBytes, 7), qos: 1, retained: false, packetId: 7 };
  const whole = publish({ ...sent, properties: Buffer.alloc(propertiesBytes) });
  const [head] = new PacketCutter(limits).cut(whole);
  const read = readPublish(head as Buffer, "5");
  expect(read).toMatchObject({ topic: "a/b", qos: 1, packetId: 7, wholeBytes: payloadBytes });
  expect(read.payload.length).toBeLessThan(limits.headBytes);
});

it("reads a PUBLISH of either version", () => {
  fc.assert(
    fc.property(message, fc.option(fc.uint8Array({ maxLength: 200 }), { nil: undefined }), (sent, properties) => {
      const read = readPublish(publish({ ...sent, ...(properties ? { properties } : {}) }), properties ? "5" : "3.1.1");
      expect({ ...read, payload: read.payload.toString("hex") }).toEqual({
        topic: sent.topic,
        qos: sent.qos,
        retained: sent.retained,
        payload: Buffer.from(sent.payload).toString("hex"),
        ...(sent.qos > 0 ? { packetId: sent.packetId } : {}),
      });
    }),
  );
});

it("refuses a PUBLISH that is cut off, has no topic, no packet id, or a third QoS", () => {
  const good = { topic: "a/b", payload: Buffer.alloc(0), qos: 1, retained: false, packetId: 7 };
  const wrong = [{ topic: "" }, { packetId: 0 }, { qos: 3 }].map((change) => publish({ ...good, ...change }));
  const short = [packet(0x32, text("a/b")), packet(0x32, uint16(500)), packet(0x32, Buffer.alloc(0))];
  for (const bytes of [...wrong, ...short]) expect(() => readPublish(bytes, "3.1.1")).toThrow("malformed");
  // its properties are said to be longer than the packet
  expect(() => readPublish(packet(0x30, Buffer.concat([text("a"), variable(9)])), "5")).toThrow("malformed");
});

it("refuses a length of more than four bytes", () => {
  expect(() => new PacketCutter(limits).cut(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1]))).toThrow("malformed");
});

it("acknowledges in the order that it is given", () => {
  const bytes = acknowledgements([
    { qos: 1, packetId: 258 },
    { qos: 2, packetId: 3 },
  ]);
  expect([...bytes]).toEqual([0x40, 2, 1, 2, 0x50, 2, 0, 3]);
});

it.each([0, 20, 150, 20_000])(
  "knows an accepted connection by its code, with %i bytes of properties and a session that is there",
  (bytes) => {
    const properties = Buffer.concat([variable(bytes), Buffer.alloc(bytes)]);
    const connack = (code: number) => packet(0x20, Buffer.concat([Buffer.from([1, code]), properties]));
    expect([isAccepted(connack(0)), isAccepted(connack(0x87))]).toEqual([true, false]);
  },
);
