import { connect, createServer, type Socket } from "node:net";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { startTestCentral } from "../../support/central.ts";
import { pick } from "../../support/messages.ts";
import { createDatabase, postgresServer, type TestDatabase } from "../../support/postgres.ts";
import { until } from "../../support/process.ts";

/** What a statement on a connection that went silent costs; and how many connections there are for people who read. */
const [silentMs, readers] = [7000, 4];

/** A proxy before the database that can silence the connections that it has, as a failover behind a load balancer does. */
async function startMutingProxy(database: TestDatabase): Promise<AsyncDisposable & { url: string; mute(): void }> {
  const target = new URL(database.url);
  const sockets = new Set<Socket>();
  const lines = new Set<readonly [Socket, Socket]>();
  const server = createServer((inner) => {
    const outer = connect({ host: target.hostname, port: Number(target.port) });
    for (const socket of [inner, outer]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
    }
    inner.pipe(outer).pipe(inner);
    lines.add([inner, outer]);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(database.url);
  url.port = String((server.address() as { port: number }).port);
  return {
    url: url.href,
    mute() {
      for (const [inner, outer] of lines) {
        inner.unpipe(outer);
        outer.unpipe(inner);
        // what comes is taken, and goes nowhere
        inner.resume();
        outer.resume();
      }
      lines.clear();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

describe.skipIf((await postgresServer()) === undefined)("connections to PostgreSQL", () => {
  it("that went silent cost one batch a few seconds, and the next ones nothing", async () => {
    await using database = await createDatabase();
    await using proxy = await startMutingProxy(database);
    await using central = await startTestCentral({ database: { ...database, url: proxy.url } });
    const plants = await Promise.all(["a", "b", "c", "d"].map((name) => central.addSite(`plant-${name}`)));
    const lanes = plants.map((plant) => plant.lane("transaction"));
    await Promise.all(plants.map((plant, index) => plant.hello([lanes[index]!])));
    const sendAll = () =>
      Promise.all(
        plants.map(async (plant, index) => {
          const lane = lanes[index]!;
          lane.append([pick(plant.site, `T-${lane.last}`)]);
          return (await plant.send(lane)).status;
        }),
      );
    expect(await sendAll()).toEqual([200, 200, 200, 200]);
    proxy.mute();
    const began = performance.now();
    const first = await plants[0]!.send(lanes[0]!);
    expect([200, 503]).toContain(first.status);
    expect(performance.now() - began).toBeLessThan(2 * silentMs);
    const again = performance.now();
    expect(await sendAll()).toEqual([200, 200, 200, 200]);
    // one that found a silent connection again would have waited for the answer to a statement
    expect(performance.now() - again).toBeLessThan(silentMs);
  });

  it("are not taken from plants by people who read", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    const plant = await central.addSite("plant-a");
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    const database = central.database!;
    // whoever asks for orders waits for this
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    try {
      await holder.query("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE");
      let given = 0;
      const reads = Array.from({ length: 12 }, async () => {
        await central.admin("GET", "/v1/orders?q=x").catch(() => undefined);
        given += 1;
      });
      await until(
        () => database.query<{ count: string }>("SELECT count(*) FROM pg_locks WHERE NOT granted"),
        ([found]) => Number(found?.count) >= readers,
      );
      lane.append([pick("plant-a", "T-1")]);
      expect((await plant.send(lane)).status).toBe(200);
      // before the first of them gave up
      expect(given).toBe(0);
      await holder.query("COMMIT");
      await Promise.all(reads);
    } finally {
      await holder.end();
    }
  });
});
