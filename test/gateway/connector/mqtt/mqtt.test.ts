import { describe, expect, it } from "vitest";
import { MqttBrokerConnector } from "../../../../gateway/connector/mqtt-broker/connector.ts";
import { connectorDeps } from "../../../support/connector-deps.ts";
import { startLinkProxy } from "../../../support/link-proxy.ts";
import { until } from "../../../support/process.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";
import { broker, missing, never, order, patient, peer, pick, picks, startConnector, toStop, up } from "./harness.ts";

describe.skipIf(missing).each(["5", "3.1.1"] as const)("a plant's broker over MQTT %s", (version) => {
  const config = { version };

  it("gets its PUBACK only when the message is flushed (P1)", async () => {
    const mosquitto = await broker();
    const { inlet, connector } = await startConnector(mosquitto.url, { config });
    await up(connector);
    const flush = inlet.close();
    const wms = await peer(mosquitto.url);
    await wms.publishAsync(pick, "a", { qos: 1 });
    await until(
      () => inlet.calls.length,
      (calls) => calls === 1,
    );
    // the broker keeps an unacknowledged message for the session
    await connector.stop();
    flush();
    const again = await startConnector(mosquitto.url, { config });
    await until(
      () => again.inlet.bodies,
      (bodies) => bodies.length === 1,
    );
    expect(again.inlet.bodies).toEqual(["a"]);
  });

  it("is not given a message again that was acknowledged", async () => {
    const mosquitto = await broker();
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config, clock: patient });
    await up(connector);
    const wms = await peer(mosquitto.url);
    await wms.publishAsync(pick, "a", { qos: 1 });
    await until(
      () => inlet.bodies.length,
      (count) => count === 1,
    );
    await wms.publishAsync(pick, "b", { qos: 1 });
    await until(
      () => inlet.bodies.length,
      (count) => count === 2,
    );
    await connector.stop();
    await wms.publishAsync(pick, "c", { qos: 1 });
    const again = await startConnector(mosquitto.url, { config, folder });
    await until(
      () => again.inlet.bodies,
      (bodies) => bodies.includes("c"),
    );
    expect(again.inlet.bodies).not.toContain("a");
  });

  it("keeps what is published while the gateway is away, in order (P4)", async () => {
    const mosquitto = await broker();
    const { inlet, connector, folder } = await startConnector(mosquitto.url, { config });
    await up(connector);
    await connector.stop();
    const wms = await peer(mosquitto.url);
    const bodies = Array.from({ length: 100 }, (_, n) => String(n));
    for (const body of bodies) await wms.publishAsync(pick, body, { qos: 1 });
    await startConnector(mosquitto.url, { config, folder, inlet });
    await until(
      () => inlet.bodies.length,
      (count) => count >= 100,
    );
    expect(inlet.bodies).toEqual(bodies);
  });

  it("sends a message again whose append failed, over a new connection", async () => {
    const mosquitto = await broker();
    const { inlet, connector } = await startConnector(mosquitto.url, { config });
    await up(connector);
    inlet.before = (call) => {
      inlet.failure = call === 1 ? "DISK_FAILED" : undefined;
    };
    const wms = await peer(mosquitto.url);
    await wms.publishAsync(pick, "a", { qos: 1 });
    await wms.publishAsync(pick, "b", { qos: 1 });
    await until(
      () => inlet.bodies,
      (bodies) => bodies.length >= 2,
    );
    expect(inlet.bodies).toEqual(["a", "b"]);
    // redelivered messages come before the subscription is confirmed
    await until(
      () => connector.report(),
      ({ connects }) => connects === 2,
    );
  });

  it("takes publishes, and answers for them", async () => {
    const mosquitto = await broker();
    const { connector } = await startConnector(mosquitto.url, { config });
    await up(connector);
    const wms = await peer(mosquitto.url);
    await wms.subscribeAsync("wms/orders/+", { qos: 1 });
    const received = new Promise<string>((resolve) => wms.once("message", (topic, body) => resolve(`${topic} ${body}`)));
    expect(await connector.deliver?.(order(), never)).toEqual({ kind: "done" });
    expect(await received).toBe("wms/orders/hq-mo-42 release");
    expect(await connector.deliver?.(order({ qos: 0 }), never)).toEqual({ kind: "done" });
  });

  it("is not flooded: more publishes than it allows at once wait for their turn", async () => {
    const mosquitto = await broker({ config: ["max_inflight_messages 5"] });
    const { connector } = await startConnector(mosquitto.url, { config });
    await up(connector);
    const outcomes = await Promise.all(Array.from({ length: 200 }, () => connector.deliver?.(order(), never)));
    expect(new Set(outcomes.map((outcome) => outcome?.kind))).toEqual(new Set(["done"]));
    expect(connector.report().connects).toBe(1);
  });

  it("says why a wrong password is not let in", async () => {
    const mosquitto = await broker({ users: { gateway: "right" } });
    const login = { username: "gateway", password: { secret: "wms" } };
    const { connector } = await startConnector(mosquitto.url, { config: { ...config, ...login }, secrets: { wms: "wrong" } });
    const report = await until(
      () => connector.report(),
      ({ state }) => state === "down",
    );
    expect(report.reason).toMatch(/password|does not allow/);
    const right = await startConnector(mosquitto.url, {
      config: { ...config, ...login, clientId: "other" },
      secrets: { wms: "right" },
    });
    await up(right.connector);
  });
});

describe.skipIf(missing)("the mqtt connector", () => {
  it("holds a message while the queue is full, longer than the keep alive, on the same connection (P6)", async () => {
    const mosquitto = await broker();
    const { inlet, connector } = await startConnector(mosquitto.url, { config: { keepAlive: "2s" } });
    await up(connector);
    inlet.failure = "QUEUE_FULL";
    const wms = await peer(mosquitto.url);
    for (const body of ["a", "b", "c"]) await wms.publishAsync(pick, body, { qos: 1 });
    const heldAt = performance.now();
    // more than the broker waits for a ping passes: time itself is the condition here
    await until(
      () => performance.now() - heldAt,
      (ms) => ms > 4000,
    );
    expect(connector.report()).toMatchObject({ state: "degraded", connects: 1 });
    inlet.failure = undefined;
    await until(
      () => inlet.bodies.length,
      (count) => count === 3,
    );
    expect(inlet.bodies).toEqual(["a", "b", "c"]);
    expect(connector.report()).toMatchObject({ state: "up", connects: 1 });
  });

  it("marks retained messages, and asks for them only where a flow wants them", async () => {
    const mosquitto = await broker();
    const wms = await peer(mosquitto.url);
    await wms.publishAsync("wms/stock/A", "state", { qos: 1, retain: true });
    await wms.publishAsync(pick, "old", { qos: 1, retain: true });
    const wiring = { topics: [...picks.topics, { topic: "wms/stock/+", retained: "state" as const }] };
    const { inlet, connector } = await startConnector(mosquitto.url, { wiring });
    await up(connector);
    await wms.publishAsync(pick, "new", { qos: 1 });
    await until(
      () => inlet.bodies,
      (bodies) => bodies.includes("new"),
    );
    expect(inlet.bodies).toEqual(["state", "new"]);
    expect(inlet.accepted.map(({ origin }) => origin.kind === "topic" && origin.retained)).toEqual([true, false]);
  });

  it("takes a filter out of the session that no flow wants any more", async () => {
    const mosquitto = await broker();
    const wiring = { topics: [...picks.topics, { topic: "wms/old/+", retained: "skip" as const }] };
    const first = await startConnector(mosquitto.url, { wiring });
    await up(first.connector);
    await first.connector.stop();
    const { inlet, connector } = await startConnector(mosquitto.url, { folder: first.folder });
    await up(connector);
    const wms = await peer(mosquitto.url);
    await wms.publishAsync("wms/old/x", "nobody wants it", { qos: 1 });
    await wms.publishAsync(pick, "a", { qos: 1 });
    await until(
      () => inlet.bodies,
      (bodies) => bodies.includes("a"),
    );
    expect(inlet.bodies).toEqual(["a"]);
  });

  it("does not subscribe outside its grants, and says so", async () => {
    const mosquitto = await broker();
    const wiring = { topics: [...picks.topics, { topic: "erp/#", retained: "skip" as const }] };
    const { inlet, connector } = await startConnector(mosquitto.url, { wiring });
    const report = await until(
      () => connector.report(),
      ({ state }) => state === "degraded",
    );
    expect(report.reason).toContain("erp/#");
    const wms = await peer(mosquitto.url);
    await wms.publishAsync("erp/x", "a", { qos: 1 });
    await wms.publishAsync(pick, "b", { qos: 1 });
    await until(
      () => inlet.bodies,
      (bodies) => bodies.includes("b"),
    );
    expect(inlet.bodies).toEqual(["b"]);
  });

  it("refuses topics outside its grants and what is no topic", async () => {
    const mosquitto = await broker();
    const { connector } = await startConnector(mosquitto.url);
    await up(connector);
    for (const topic of ["wms/picks/x", "wms/orders/+", "wms/orders/#", ""]) {
      expect(await connector.deliver?.(order({ topic }), never)).toMatchObject({ kind: "refused" });
    }
  });

  it("passes on that the broker refuses a publish", async () => {
    const acl = ["user gateway", "topic read wms/#"];
    const mosquitto = await broker({ users: { gateway: "right" }, acl });
    const login = { username: "gateway", password: { secret: "wms" } };
    const { connector } = await startConnector(mosquitto.url, { config: login, secrets: { wms: "right" } });
    await up(connector);
    expect(await connector.deliver?.(order(), never)).toMatchObject({
      kind: "refused",
      reason: expect.stringContaining("does not allow"),
    });
  });

  it("keeps deliveries for a retry while the broker is away, and comes back to it by itself", async () => {
    const mosquitto = await broker();
    const { inlet, connector } = await startConnector(mosquitto.url);
    await up(connector);
    await mosquitto.stop();
    const report = await until(
      () => connector.report(),
      ({ state }) => state === "down",
    );
    expect(report.reason).toContain("127.0.0.1");
    expect(await connector.deliver?.(order(), never)).toMatchObject({ kind: "retry" });
    await mosquitto.start();
    await up(connector);
    expect(connector.report().connects).toBe(2);
    expect(await connector.deliver?.(order(), never)).toEqual({ kind: "done" });
    const wms = await peer(mosquitto.url);
    await wms.publishAsync(pick, "a", { qos: 1 });
    await until(
      () => inlet.bodies,
      (bodies) => bodies.length === 1,
    );
  });

  it("calls a publish unknown whose acknowledgement was lost with the link", async () => {
    const mosquitto = await broker();
    const link = await startLinkProxy({ target: `http://127.0.0.1:${mosquitto.port}` });
    toStop.push(link);
    const { connector } = await startConnector(`mqtt://127.0.0.1:${link.port}`);
    await up(connector);
    // a stopped process takes bytes and answers nothing
    process.kill(mosquitto.pid, "SIGSTOP");
    const delivery = connector.deliver?.(order(), never);
    link.cut("refused");
    process.kill(mosquitto.pid, "SIGCONT");
    expect(await delivery).toMatchObject({ kind: "unknown" });
    expect(await connector.deliver?.(order(), never)).toMatchObject({ kind: "retry" });
  });

  it("shows as degraded, and goes on, when the broker does not grant a subscription", async () => {
    // Mosquitto grants every subscription and filters when it delivers; the embedded broker refuses at once
    const users = [{ username: "gateway", password: { secret: "wms" }, publish: [], subscribe: ["wms/picks/#"] }];
    const config = {
      type: "mqtt-broker" as const,
      host: "127.0.0.1",
      port: 0,
      users,
      relay: [],
      grants: { subscribe: [], publish: [] },
    };
    const strict = new MqttBrokerConnector(
      connectorDeps({ name: "strict", config, inlet: new RecordingInlet(), secrets: { wms: "right" } }),
    );
    await strict.start(never);
    toStop.push(strict);
    const login = { version: "3.1.1" as const, username: "gateway", password: { secret: "wms" } };
    const { connector } = await startConnector(`mqtt://127.0.0.1:${strict.port}`, { config: login, secrets: { wms: "right" } });
    const report = await until(
      () => connector.report(),
      ({ state }) => state === "degraded",
    );
    expect(report.reason).toContain("wms/orders/+/ack");
    expect(report.reason).not.toContain("wms/picks");
  });

  it("names an unreachable broker without its credentials", async () => {
    const { connector } = await startConnector("mqtt://127.0.0.1:1");
    const report = await until(
      () => connector.report(),
      ({ state }) => state === "down",
    );
    expect(report.reason).toContain("is the broker running");
  });
});
