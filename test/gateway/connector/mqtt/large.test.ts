import { describe, expect, it } from "vitest";
import { packetLimits } from "../../../../gateway/connector/mqtt/intake-stream.ts";
import { until } from "../../../support/process.ts";
import { broker, missing, peer, pick, startConnector, up } from "./harness.ts";

describe.skipIf(missing).each(["5", "3.1.1"] as const)("a message that is too large, over MQTT %s", (version) => {
  it("is taken by its head and its length, holds up nothing behind it, and does not come again", async () => {
    const mosquitto = await broker({ config: ["max_queued_bytes 0"] });
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config: { version } });
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
