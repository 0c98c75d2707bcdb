import { describe, expect, it } from "vitest";
import { connectPacket, packetType, RawMqtt } from "../../../support/raw-mqtt.ts";
import { connected, login, startBroker } from "./harness.ts";

const subscribed = async (client: RawMqtt): Promise<void> => {
  client.subscribe("chat/#", 0, 1);
  await client.received(packetType.suback);
};

describe("a client id of the embedded broker", () => {
  it("has one client when two take it over in one turn", async () => {
    await using broker = await startBroker();
    for (let round = 0; round < 5; round++) {
      const clientId = `d${round}`;
      const first = await connected(broker.port, { clientId });
      await subscribed(first);
      await using x = await RawMqtt.open(broker.port);
      await using y = await RawMqtt.open(broker.port);
      x.write(connectPacket({ ...login, clientId }));
      y.write(connectPacket({ ...login, clientId }));
      await first.ended();
      await Promise.race([x.ended(), y.ended()]);
      expect([x.closed, y.closed].filter((closed) => !closed)).toHaveLength(1);
    }
  });

  it("has one client when one takes it over while the other's connection ends", async () => {
    await using broker = await startBroker();
    for (let round = 0; round < 20; round++) {
      const clientId = `r${round}`;
      const next = await RawMqtt.open(broker.port);
      const first = await connected(broker.port, { clientId });
      await subscribed(first);
      next.write(connectPacket({ ...login, clientId }));
      void first.cut();
      // both reach the broker in one turn of its loop
      const until = performance.now() + 5;
      while (performance.now() < until);
      await next.received(packetType.connack);
      await using last = await connected(broker.port, { clientId });
      await next.ended();
      expect(last.closed).toBe(false);
    }
  });
});

describe("stopping the embedded broker", () => {
  it("ends every connection, also one that has not said anything", async () => {
    const broker = await startBroker();
    const silent = await RawMqtt.open(broker.port);
    const client = await connected(broker.port);
    const begin = performance.now();
    await broker.connector.stop();
    await client.ended();
    await silent.ended();
    // not at the end of the time that it has for CONNECT
    expect(performance.now() - begin).toBeLessThan(9000);
  });
});
