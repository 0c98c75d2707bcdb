import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import type { Done } from "../../../../gateway/connector/mqtt/intake-line.ts";
import { IntakeStream, maxUnflushed } from "../../../../gateway/connector/mqtt/intake-stream.ts";
import type { Publish } from "../../../../gateway/connector/mqtt/packets.ts";
import { until } from "../../../support/process.ts";

const connack = Buffer.from([0x20, 2, 0, 0]);
const pingresp = Buffer.from([0xd0, 0]);
/** QoS 1, topic "t", MQTT 3.1.1. */
const publish = (packetId: number, payload = "x"): Buffer =>
  Buffer.concat([Buffer.from([0x32, 5 + payload.length, 0, 1, 0x74, packetId >> 8, packetId & 0xff]), Buffer.from(payload)]);
const puback = (packetId: number): number[] => [0x40, 2, packetId >> 8, packetId & 0xff];

const toStop: (() => void)[] = [];
afterEach(() => {
  for (const stop of toStop.splice(0)) stop();
});

/** A stream over a real connection; `far` is the broker's end of it. */
async function open() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const socket = connect(typeof address === "object" && address ? address.port : 0, "127.0.0.1");
  const [far] = (await once(server, "connection")) as [Socket];
  far.on("error", () => {});
  const sent: Buffer[] = [];
  far.on("data", (chunk: Buffer) => sent.push(chunk));
  const taken: { publish: Publish; done: Done }[] = [];
  const stream = new IntakeStream({ socket, version: "3.1.1", take: (publish, done) => taken.push({ publish, done }) });
  const passed: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => passed.push(chunk));
  stream.on("error", () => {});
  toStop.push(() => {
    stream.destroy();
    far.destroy();
    server.close();
  });
  return { far, stream, taken, sent: () => [...Buffer.concat(sent)], passed: () => [...Buffer.concat(passed)] };
}

it("acknowledges what is flushed, in order, and passes everything else meanwhile", async () => {
  const { far, stream, taken, sent, passed } = await open();
  far.write(Buffer.concat([connack, publish(1), publish(2), pingresp, publish(3)]));
  await until(
    () => taken.length,
    (count) => count === 3,
  );
  // the library's own packets go out, and the broker's answers come in, while no message is flushed
  stream.write(Buffer.from([0xc0, 0]));
  await until(sent, (bytes) => bytes.length > 0);
  expect(sent()).toEqual([0xc0, 0]);
  await until(passed, (bytes) => bytes.length === connack.length + pingresp.length);
  taken[0]!.done();
  taken[1]!.done();
  await until(sent, (bytes) => bytes.length > 2);
  expect(sent()).toEqual([0xc0, 0, ...puback(1), ...puback(2)]);
});

it("writes no acknowledgement into the middle of a packet of the library's", async () => {
  const { far, stream, taken, sent } = await open();
  far.write(Buffer.concat([connack, publish(1)]));
  await until(
    () => taken.length,
    (count) => count === 1,
  );
  // as mqtt-packet writes a packet: in pieces, corked until the next tick
  stream.cork();
  stream.write(Buffer.from([0x32, 4]));
  stream.write(Buffer.from([0, 1, 0x74]));
  taken[0]!.done();
  stream.write(Buffer.from([0x7a]));
  process.nextTick(() => stream.uncork());
  await until(sent, (bytes) => bytes.length === 10);
  expect(sent()).toEqual([0x32, 4, 0, 1, 0x74, 0x7a, ...puback(1)]);
});

it("acknowledges nothing that failed, and nothing over a connection that has ended", async () => {
  const { far, stream, taken, sent } = await open();
  far.write(Buffer.concat([connack, publish(1), publish(2)]));
  await until(
    () => taken.length,
    (count) => count === 2,
  );
  taken[0]!.done(new Error("not on disk"));
  stream.destroy();
  await once(stream, "close");
  taken[1]!.done();
  await once(far, "close");
  expect(sent()).toEqual([]);
});

it("reads on only to its bound while nothing is flushed, and goes on by itself", async () => {
  const { far, stream, taken, passed } = await open();
  far.write(connack);
  const count = maxUnflushed * 4;
  const payload = "x".repeat(100);
  far.write(Buffer.concat([...Array.from({ length: count }, (_, n) => publish(n + 1, payload)), pingresp]));
  await until(
    () => stream.isReadingPaused,
    (isPaused) => isPaused,
  );
  // one chunk of the socket more than the bound, at most
  expect(taken.length).toBeLessThan(maxUnflushed + 65_536 / payload.length);
  let flushed = 0;
  await until(
    () => {
      for (const { done } of taken.slice(flushed)) done();
      flushed = taken.length;
      return flushed;
    },
    (total) => total === count,
  );
  expect(stream.isReadingPaused).toBe(false);
  expect(taken.map(({ publish }) => publish.packetId)).toEqual(Array.from({ length: count }, (_, n) => n + 1));
  await until(passed, (bytes) => bytes.length === connack.length + pingresp.length);
});

it("ends a connection over which a message comes before it is accepted, or one that makes no sense", async () => {
  for (const bytes of [publish(1), Buffer.concat([connack, Buffer.from([0x32, 2, 0, 9])])]) {
    const { far, stream, taken } = await open();
    const failed = once(stream, "error");
    far.write(bytes);
    expect((await failed)[0]).toBeInstanceOf(Error);
    expect(taken).toEqual([]);
  }
});
