import { describe, expect, it } from "vitest";
import { packetLimits } from "../../../../gateway/connector/mqtt/intake-stream.ts";
import { until } from "../../../support/process.ts";
import { publish, suback } from "../../../support/scripted-broker.ts";
import { startWebSocketBroker } from "../../../support/websocket-broker.ts";
import { broker, missing, patient, peer, pick, startConnector, toStop, up } from "./harness.ts";

describe.skipIf(missing).each(["5", "3.1.1"] as const)("a message that is too large, over MQTT %s", (version) => {
  it("is taken by its head and its length, holds up nothing behind it, and does not come again", async () => {
    const mosquitto = await broker({ config: ["max_queued_bytes 0"] });
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config: { version }, clock: patient });
    await up(connector);
    const wms = await peer(mosquitto.url);
    const large = Buffer.alloc(packetLimits.packetBytes * 3, "abcdefg");
    await wms.publishAsync(pick, large, { qos: 1 });
    await wms.publishAsync(pick, "small", { qos: 1 });
    await until(
      () => inlet.accepted.length,
      (count) => count === 2,
    );
    const [head, small] = inlet.accepted;
    expect(head).toMatchObject({ wholeBytes: large.length, origin: { topic: pick } });
    expect(large.subarray(0, head!.body.byteLength).equals(head!.body)).toBe(true);
    expect(head!.body.byteLength).toBeGreaterThan(100_000);
    expect(Buffer.from(small!.body).toString()).toBe("small");
    expect(small!.wholeBytes).toBeUndefined();
    expect(connector.report()).toMatchObject({ state: "up", connects: 1 });
    await connector.stop();
    await wms.publishAsync(pick, "next", { qos: 1 });
    const again = await startConnector(mosquitto.url, { config: { version }, folder });
    await until(
      () => again.inlet.bodies,
      (bodies) => bodies.includes("next"),
    );
    expect(again.inlet.bodies).toEqual(["next"]);
  });
});

it("a message that is too large comes through a WebSocket in one frame, however large, by its head", async () => {
  // more than a WebSocket takes where nothing is said
  const sizeBytes = 101 * 1024 * 1024;
  const acknowledged: number[] = [];
  const far = await startWebSocketBroker((bytes, send) => {
    const type = (bytes[0] ?? 0) >> 4;
    if (type === 1) send(Buffer.from([0x20, 2, 0, 0]));
    // both may come in one frame
    if (type === 4) for (let at = 2; at < bytes.length; at += 4) acknowledged.push(bytes.readUInt16BE(at));
    if (type !== 8) return;
    send(suback({ bytes, packetId: bytes.readUInt16BE(2) }));
    send(publish(pick, Buffer.alloc(sizeBytes), 1));
    send(publish(pick, Buffer.from("small"), 2));
  });
  toStop.push({ stop: () => far[Symbol.asyncDispose]() });
  const { inlet, connector } = await startConnector(far.url, { config: { version: "3.1.1" } });
  await until(
    () => acknowledged.length,
    (count) => count >= 2,
  );
  expect(acknowledged).toEqual([1, 2]);
  expect(inlet.accepted.map(({ wholeBytes }) => wholeBytes)).toEqual([sizeBytes, undefined]);
  expect(connector.report()).toMatchObject({ state: "up", connects: 1 });
});
