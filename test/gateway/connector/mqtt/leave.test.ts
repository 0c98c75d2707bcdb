import { describe, expect, it } from "vitest";
import { until } from "../../../support/process.ts";
import { broker, missing, never, order, patient, peer, pick, startConnector, up } from "./harness.ts";

/** More than the sockets' buffers of both sides hold. */
const largeBytes = 32 * 1024 * 1024;
/** What was begun in this turn of the event loop has gone out. */
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe.skipIf(missing).each(["5", "3.1.1"] as const)("a stop, towards a plant's broker over MQTT %s", (version) => {
  const config = { version };

  it("lets acknowledgements arrive that stand behind a large publish: what is on disk is not sent again", async () => {
    const mosquitto = await broker();
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config, clock: patient });
    await up(connector);
    const flush = inlet.close();
    const wms = await peer(mosquitto.url);
    await wms.publishAsync(pick, "a", { qos: 1 });
    await until(
      () => inlet.calls.length,
      (calls) => calls === 1,
    );
    // a stopped process reads nothing: what is written waits in front of it
    process.kill(mosquitto.pid, "SIGSTOP");
    void connector.deliver?.(order({ qos: 0, body: Buffer.alloc(largeBytes) }), never);
    await nextTurn();
    flush();
    await until(
      () => inlet.bodies,
      (bodies) => bodies.length === 1,
    );
    const stopped = connector.stop();
    process.kill(mosquitto.pid, "SIGCONT");
    await stopped;
    await wms.publishAsync(pick, "b", { qos: 1 });
    const again = await startConnector(mosquitto.url, { config, folder });
    await until(
      () => again.inlet.bodies,
      (bodies) => bodies.includes("b"),
    );
    expect(again.inlet.bodies).toEqual(["b"]);
  });

  it("waits for the acknowledgement of what it published: its outcome is known", async () => {
    const mosquitto = await broker();
    const { connector } = await startConnector(mosquitto.url, { config, clock: patient });
    await up(connector);
    process.kill(mosquitto.pid, "SIGSTOP");
    const delivery = connector.deliver?.(order(), never);
    await nextTurn();
    const stopped = connector.stop();
    process.kill(mosquitto.pid, "SIGCONT");
    expect(await delivery).toEqual({ kind: "done" });
    await stopped;
  });

  it("keeps for a retry what has not gone out yet", async () => {
    const mosquitto = await broker();
    const { connector } = await startConnector(mosquitto.url, { config, clock: patient });
    await up(connector);
    const notSent = connector.deliver?.(order(), never);
    const stopped = connector.stop();
    expect(await connector.deliver?.(order(), never)).toMatchObject({ kind: "retry" });
    expect(await notSent).toMatchObject({ kind: "retry" });
    await stopped;
  });

  it("leaves a broker that does not answer all the same", async () => {
    const mosquitto = await broker();
    const { connector } = await startConnector(mosquitto.url, { config });
    await up(connector);
    process.kill(mosquitto.pid, "SIGSTOP");
    try {
      const delivery = connector.deliver?.(order(), never);
      await nextTurn();
      await connector.stop();
      expect(await delivery).toMatchObject({ kind: "unknown" });
    } finally {
      process.kill(mosquitto.pid, "SIGCONT");
    }
  });
});
