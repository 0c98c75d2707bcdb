import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeAuthority } from "../../support/certificates.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { startPlantgate, until } from "../../support/process.ts";

it.each(["closes on plain HTTP", "answers it with a sentence of its own"])(
  "enrolling at http:// where TLS is spoken that %s says the address that may be meant, and goes on trying",
  async (how) => {
    using folder = temporaryFolder();
    const server = how.startsWith("closes")
      ? createTlsServer(await (await makeAuthority()).issue()).on("tlsClientError", () => {})
      : createServer((_, response) => response.writeHead(400).end("The plain HTTP request was sent to HTTPS port"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const host = `localhost:${(server.address() as AddressInfo).port}`;
    await using enrolling = startPlantgate([
      ...["enroll", "--central", `http://${host}`, "--token", "pge_a.b", "--data", join(folder.path, "data")],
    ]);
    await until(
      () => enrolling.output.join("\n"),
      (said) => said.includes(`Where central is behind TLS, its address is https://${host}.`),
    );
    expect(enrolling.output.join("\n")).toContain("it is tried again until Ctrl-C");
    await enrolling.kill("SIGINT");
    server.close();
  },
);
