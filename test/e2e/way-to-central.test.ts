import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeAuthority } from "../support/certificates.ts";
import { openSystem, type System } from "../support/system.ts";
import { startConnectProxy, startTlsFront } from "../support/tls-front.ts";

/** Central behind TLS of a private authority, and a proxy that is the only way the tests' gateways are told of. */
async function plant(system: System) {
  const authority = await makeAuthority();
  const [certificate, other] = [await authority.issue(), await authority.issue()];
  const caFile = join(system.folder, "ca.pem");
  writeFileSync(caFile, authority.ca);
  const central = await system.central();
  const front = await startTlsFront(certificate, central.url);
  const proxy = await startConnectProxy("plant:secret");
  const start = (...options: string[]) =>
    system.gateway("lyon", central, {
      centralUrl: `https://127.0.0.1:${front.port}`,
      options: ["--log-level", "debug", ...options],
    });
  return {
    front,
    proxy,
    start,
    caFile,
    pin: certificate.pin,
    otherPin: other.pin,
    proxyUrl: `http://plant:secret@127.0.0.1:${proxy.port}`,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await front[Symbol.asyncDispose]();
    },
  };
}

it("reaches central through the proxy it is told of, by the authority and the key that it is told of", async () => {
  await using system = openSystem();
  await using way = await plant(system);
  const gateway = await way.start("--proxy", way.proxyUrl, "--central-ca", way.caFile, "--central-pin", way.pin);
  await gateway.process.logged("link.session.began");
  expect(new Set(way.proxy.tunnels)).toEqual(new Set([`127.0.0.1:${way.front.port}`]));
  // there is no other way: what ended TLS came out of a tunnel
  expect(way.front.seen.handshakes).toBeLessThanOrEqual(way.proxy.tunnels.length);
});

it("judges central by the authority it is told of alone", async () => {
  await using system = openSystem();
  await using way = await plant(system);
  const gateway = await way.start("--central-ca", way.caFile);
  await gateway.process.logged("link.session.began");
  expect(way.proxy.tunnels).toEqual([]);
});

it("says nothing to a server whose key is not the pinned one, and says why", async () => {
  await using system = openSystem();
  await using way = await plant(system);
  const gateway = await way.start("--proxy", way.proxyUrl, "--central-ca", way.caFile, "--central-pin", way.otherPin);
  const said = () => gateway.process.output.find((line) => line.includes("public key is not the pinned one"));
  await gateway.process.logged("link.central.notReached");
  expect(said()).toContain(`SHA-256 ${way.pin}`);
  expect(way.proxy.tunnels.length).toBeGreaterThan(0);
  expect(way.front.seen.said).toBe(0);
});

it("does not start with a file of certificates that holds none", async () => {
  await using system = openSystem();
  await using way = await plant(system);
  writeFileSync(way.caFile, "not a certificate");
  await expect(way.start("--central-ca", way.caFile)).rejects.toThrow(`${way.caFile} holds no certificate in PEM`);
});
