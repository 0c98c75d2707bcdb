import { once } from "node:events";
import { Agent, createServer, get, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { listen } from "../../../central/http/listen.ts";
import { startTestCentral } from "../../support/central.ts";

it("refuses a port that another central listens on, though sockets may share ports", async () => {
  await using first = await startTestCentral();
  const port = Number(new URL(first.url).port);
  await expect(startTestCentral({ settings: { port } })).rejects.toMatchObject({
    code: "PEER_UNREACHABLE",
    message: `cannot listen on 127.0.0.1:${port}`,
  });
  expect((await fetch(`${first.url}/health`)).status).toBe(200);
});

it("keeps an idle connection for longer than it tells anybody to wait, and says so on each of its sockets", async () => {
  await using central = await startTestCentral();
  const agent = new Agent({ keepAlive: true });
  const told = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      get(`${central.url}/health`, { agent }, (response) => {
        response.resume().once("end", () => resolve(response.headers["keep-alive"]));
      }).once("error", reject);
    });
  try {
    const answers = await Promise.all(Array.from({ length: 40 }, told));
    // a gateway is told to come back within 60 seconds
    expect(new Set(answers)).toEqual(new Set(["timeout=75"]));
  } finally {
    agent.destroy();
  }
});

it("ends only once every connection has ended, whichever socket accepted it", async () => {
  const open: ServerResponse[] = [];
  const server = createServer((_, response) => void open.push(response));
  const listening = await listen(server, { host: "127.0.0.1", port: 0, maxConnections: 1000 });
  const answers = Array.from({ length: 40 }, () =>
    fetch(`http://127.0.0.1:${listening.port}/`, { headers: { connection: "close" } }),
  );
  while (open.length < 40) await once(server, "request");
  let ended = false;
  const closed = listening.close().then(() => {
    ended = true;
  });
  for (const response of open.splice(1)) response.end();
  expect((await Promise.any(answers)).status).toBe(200);
  expect(ended).toBe(false);
  for (const response of open) response.end();
  for (const answer of answers) expect((await answer).status).toBe(200);
  await closed;
});

it("closes connections beyond the most that it takes, and takes others once some have ended", async () => {
  const server = createServer((_, response) => void response.end());
  const listening = await listen(server, { host: "127.0.0.1", port: 0, maxConnections: 20 });
  let accepted = 0;
  server.on("connection", () => accepted++);
  const connections = Array.from({ length: 20 }, () => connect(listening.port, "127.0.0.1"));
  await expect.poll(() => accepted).toBe(20);
  await expect(fetch(`http://127.0.0.1:${listening.port}/`)).rejects.toThrow();
  for (const socket of connections) socket.destroy();
  await expect
    .poll(() =>
      fetch(`http://127.0.0.1:${listening.port}/`).then(
        ({ status }) => status,
        () => 0,
      ),
    )
    .toBe(200);
  server.closeAllConnections();
  await listening.close();
});

it.runIf(process.platform === "linux")(
  "accepts two hundred connections that wait within a few turns of the event loop",
  async () => {
    const server = createServer();
    let accepted = 0;
    server.on("connection", () => accepted++);
    const listening = await listen(server, { host: "127.0.0.1", port: 0, maxConnections: 1000 });
    const connected = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(connectFromWorker, { eval: true, workerData: { port: listening.port, connected } });
    try {
      await once(worker, "online");
      // this thread accepts none before their kernel has connected all of them
      while (Atomics.load(connected, 0) < 200) Atomics.wait(connected, 0, Atomics.load(connected, 0), 5000);
      const before = accepted;
      let turns = 0;
      for (; accepted < 200 && turns < 500; turns++) await new Promise((resolve) => setImmediate(resolve));
      expect(before).toBe(0);
      expect(accepted).toBe(200);
      // one socket would take as many turns as there are connections
      expect(turns).toBeLessThan(40);
    } finally {
      await worker.terminate();
      listening.close();
      server.closeAllConnections();
      server.close();
    }
  },
);

const connectFromWorker = `
  const { workerData } = require("node:worker_threads");
  const net = require("node:net");
  for (let count = 0; count < 200; count++)
    net.connect(workerData.port, "127.0.0.1", () => {
      Atomics.add(workerData.connected, 0, 1);
      Atomics.notify(workerData.connected, 0);
    });
`;
