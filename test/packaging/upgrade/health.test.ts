import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { machineServices } from "../../../packaging/upgrade/services.ts";
import { InstalledMachine } from "../../support/installed-machine.ts";

const well = JSON.stringify({ version: "0.1.0", link: "online", more: 1 });

/** Something that answers, and notes what it was asked for. */
async function listening(answer: RequestListener, host = "127.0.0.1") {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => void server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    asked,
    port,
    url: `http://${host}:${port}`,
    async [Symbol.asyncDispose](): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A gateway that says in its own folder that it listens there. */
function gatewayAt(url: string): InstalledMachine {
  const machine = new InstalledMachine();
  writeFileSync(join(machine.layout.dataDir, "local.json"), JSON.stringify({ url, token: "t" }));
  return machine;
}
const healthAt = ({ layout }: InstalledMachine) => machineServices(layout).health();

it("a gateway is asked for its health where it says that it listens, for nothing else, and without a password", async () => {
  await using gateway = await listening((_, response) => response.end(well));
  using machine = gatewayAt(`http://user:password@127.0.0.1:${gateway.port}/v1/secrets?all`);
  expect(await healthAt(machine)).toEqual({ version: "0.1.0", link: "online" });
  expect(gateway.asked).toEqual(["GET /health"]);
});

it("central is asked for its health where its settings have it listen", async () => {
  await using central = await listening((_, response) => response.end(well));
  using machine = new InstalledMachine("central");
  mkdirSync(dirname(machine.layout.configFile), { recursive: true });
  writeFileSync(machine.layout.configFile, `host: 0.0.0.0\nport: ${central.port}\n`);
  expect(await healthAt(machine)).toEqual({ version: "0.1.0", link: "online" });
});

it.each(["http:", "https:"])("root asks no other machine, wherever the gateway's folder leads to by %s", async (scheme) => {
  // nothing of this machine's interfaces has the address, though it is reached
  await using other = await listening((_, response) => response.end(well), "127.0.0.2");
  using machine = gatewayAt(other.url.replace("http:", scheme));
  expect(await healthAt(machine)).toBeUndefined();
  expect(other.asked).toEqual([]);
});

it("root is led nowhere else by an answer, nor by a link in the gateway's folder", async () => {
  await using elsewhere = await listening((_, response) => response.end(well));
  await using gateway = await listening((_, response) => response.writeHead(302, { location: `${elsewhere.url}/health` }).end());
  using machine = gatewayAt(gateway.url);
  expect(await healthAt(machine)).toBeUndefined();
  using linked = new InstalledMachine();
  writeFileSync(join(linked.root, "local.json"), JSON.stringify({ url: elsewhere.url }));
  symlinkSync(join(linked.root, "local.json"), join(linked.layout.dataDir, "local.json"));
  expect(await healthAt(linked)).toBeUndefined();
  expect(elsewhere.asked).toEqual([]);
});

it.each<[string, RequestListener]>([
  ["without end", (_, response) => void response.write(`{"link":"online","more":"${"x".repeat(300_000)}`)],
  ["too large", (_, response) => response.end(`{"link":"online","more":"${"x".repeat(300_000)}"}`)],
  ["an error", (_, response) => response.writeHead(500).end(well)],
  ["no JSON", (_, response) => response.end("well")],
])("an answer that is %s is none", async (_, answer) => {
  await using gateway = await listening(answer);
  using machine = gatewayAt(gateway.url);
  expect(await healthAt(machine)).toBeUndefined();
});

it("what a gateway calls itself moves no cursor of root's terminal, and is no page", async () => {
  const said = { version: `\u001b[2J\nversion ${"9".repeat(1000)}`, connectors: [{ name: "wms\u2028", state: "up\r" }] };
  await using gateway = await listening((_, response) => response.end(JSON.stringify(said)));
  using machine = gatewayAt(gateway.url);
  const found = await healthAt(machine);
  expect(found?.version).toHaveLength(128);
  expect(found).toMatchObject({
    version: expect.stringMatching(/^ \[2J version 9+$/),
    connectors: [{ name: "wms ", state: "up " }],
  });
});
