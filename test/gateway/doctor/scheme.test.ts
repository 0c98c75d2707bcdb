import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeAuthority } from "../../support/certificates.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { look } from "./place.ts";

it.each([
  [
    "https",
    "http",
    /is not reached: what answers there speaks no TLS Is this central's address\?.*is named as http:\/\/localhost:\d+$/,
  ],
  ["http", "https", /does not answer as central does.*Where HTTPS is spoken there, its address is https:\/\/localhost:\d+$/],
])("an address that says %s where %s is spoken is named by that", async (said, spoken, expected) => {
  using folder = temporaryFolder();
  const certificate = spoken === "https" ? await (await makeAuthority()).issue() : undefined;
  const server = certificate ? createTlsServer(certificate).on("tlsClientError", () => {}) : createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const centralUrl = `${said}://localhost:${(server.address() as AddressInfo).port}`;
  writeFileSync(join(folder.path, "gateway.json"), JSON.stringify({ site: "lyon", centralUrl }), { mode: 0o600 });
  const findings = await look(["central"], { place: { dataDir: folder.path } });
  server.close();
  expect(findings.map(({ level, seen, advice }) => `${level} ${seen} ${advice}`)).toEqual([
    expect.stringMatching(new RegExp(`^fault localhost:\\d+ ${expected.source}`)),
  ]);
});

it("https is named, too, where its server answers plain HTTP with a sentence of its own", async () => {
  using folder = temporaryFolder();
  const server = createServer((_, response) => response.writeHead(400).end("The plain HTTP request was sent to HTTPS port"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  writeFileSync(join(folder.path, "gateway.json"), JSON.stringify({ site: "lyon", centralUrl: `http://localhost:${port}` }), {
    mode: 0o600,
  });
  const findings = await look(["central"], { place: { dataDir: folder.path } });
  server.close();
  expect(findings.map(({ seen, advice }) => `${seen} ${advice}`)).toEqual([
    `localhost:${port} does not answer as central does: HTTP 400 to GET /health Is this central's address? A proxy or another server may stand there. Where HTTPS is spoken there, its address is https://localhost:${port}`,
  ]);
});
