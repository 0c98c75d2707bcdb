import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createSilent, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { decodeJwt } from "jose";
import { beforeAll, expect, it } from "vitest";
import type { DialOptions } from "../../../gateway/link/dial.ts";
import { type LinkRequest, Transport } from "../../../gateway/link/transport.ts";
import { systemClock, toProblem } from "../../../protocol/index.ts";
import { type Authority, makeAuthority } from "../../support/certificates.ts";
import { startConnectProxy } from "../../support/tls-front.ts";

let authority: Authority;
beforeAll(async () => {
  authority = await makeAuthority();
});

const { privateKey } = generateKeyPairSync("ed25519");
const never = new AbortController().signal;
const get: LinkRequest = { method: "GET", path: "/", silenceMs: 5000 };

/** A server on a free port; `requests` counts what reached it. */
async function serve(server: Server, answer?: RequestListener) {
  const sockets = new Set<Socket>();
  const seen = { requests: 0, authorization: "" };
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    seen.requests += 1;
    seen.authorization = request.headers.authorization ?? "";
    if (answer) answer(request, response);
    else response.setHeader("content-type", "application/json").end('{"ok":true}');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
const plain = (answer?: RequestListener) => serve(createServer(), answer);
async function secure(days?: number, answer?: RequestListener) {
  const certificate = await authority.issue(days);
  return Object.assign(await serve(createTlsServer({ cert: certificate.cert, key: certificate.key }), answer), certificate);
}

function open(centralUrl: string, dial?: DialOptions) {
  const transport = new Transport({
    site: "lyon",
    centralUrl,
    keys: { current: { privateKey, fingerprint: "f" } },
    clock: systemClock,
    dial,
  });
  return { send: (request: LinkRequest = get) => transport.send(request, never), [Symbol.dispose]: () => transport.close() };
}
/** The certificate that a server shows now, PEM. */
async function peerOf(port: number): Promise<string> {
  const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const shown = socket.getPeerX509Certificate()?.toString() ?? "";
  socket.destroy();
  return shown;
}
const why = async (sent: Promise<unknown>): Promise<string> => {
  const error = (await sent.then(
    () => new Error("it was answered"),
    (reason: unknown) => reason,
  )) as Error & { cause?: Error };
  return `${error.message}${error.cause ? `: ${error.cause.message}` : ""}`;
};

it("accepts a certificate of a private authority that it was given, and not without", async () => {
  await using server = await secure();
  using with_ = open(`https://127.0.0.1:${server.port}`, { ca: authority.ca });
  expect(await with_.send()).toMatchObject({ kind: "ok", body: { ok: true } });
  using without = open(`https://127.0.0.1:${server.port}`);
  expect(await why(without.send())).toContain("central does not answer");
  expect(server.seen.requests).toBe(1);
});

it("TRAPS 33: accepts the pinned key whoever signed it and whatever its dates, as a gateway may boot in 1970", async () => {
  await using server = await secure(-30);
  using pinned = open(`https://127.0.0.1:${server.port}`, { pin: server.pin });
  expect(await pinned.send()).toMatchObject({ kind: "ok" });
  using chain = open(`https://127.0.0.1:${server.port}`, { ca: authority.ca });
  expect(await why(chain.send())).toContain("certificate has expired");
});

it("TRAPS 31: goes on where the server's certificate is renewed, without a restart, over open connections and new ones", async () => {
  const [before, after] = [await authority.issue(1), await authority.issue()];
  const front = createTlsServer({ cert: before.cert, key: before.key });
  let handshakes = 0;
  front.on("secureConnection", () => (handshakes += 1));
  await using server = await serve(front);
  using transport = open(`https://127.0.0.1:${server.port}`, { ca: authority.ca });
  expect(await transport.send()).toMatchObject({ kind: "ok" });
  front.setSecureContext({ cert: after.cert, key: after.key });
  expect(await transport.send()).toMatchObject({ kind: "ok" });
  expect(handshakes).toBe(1);
  front.closeAllConnections();
  expect(await transport.send()).toMatchObject({ kind: "ok" });
  expect(handshakes).toBe(2);
  const seen = await peerOf(server.port);
  expect(seen).toContain(after.cert.split("\n")[1]);
});

const dayMs = 86_400_000;
it.each([
  ["stands in 1970", 0],
  ["is ten days behind", Date.now() - 10 * dayMs],
  ["is a year ahead", Date.now() + 365 * dayMs],
])("TRAPS 22, 33: is let in while its clock %s, as its tokens follow central's", async (_, wall) => {
  await using server = await plain((request, response) => {
    const { iat = 0, exp = 0 } = decodeJwt((request.headers.authorization ?? "").replace("Bearer ", ""));
    const now = Date.now() / 1000;
    const isGood = iat <= now + 5 && now < exp && exp - iat <= 600;
    response.statusCode = isGood ? 200 : 401;
    response.setHeader("content-type", "application/json").end(JSON.stringify(isGood ? {} : toProblem("token-expired")));
  });
  const transport = new Transport({
    site: "lyon",
    centralUrl: `http://127.0.0.1:${server.port}`,
    keys: { current: { privateKey, fingerprint: "f" } },
    clock: { ...systemClock, now: () => wall },
  });
  for (const requests of [2, 3]) {
    expect(await transport.send(get, never)).toMatchObject({ kind: "ok" });
    expect(server.seen.requests).toBe(requests);
  }
  transport.close();
});

it("says of a server without TLS what its address may be", async () => {
  await using server = await plain();
  using transport = open(`https://127.0.0.1:${server.port}`);
  expect(await why(transport.send())).toBe(
    `what answers at https://127.0.0.1:${server.port} does not speak TLS; where it speaks plain HTTP, its address is http://127.0.0.1:${server.port}`,
  );
});

it("says nothing, and no token, to a server that has not the pinned key", async () => {
  await using server = await secure();
  const other = await authority.issue();
  using transport = open(`https://127.0.0.1:${server.port}`, { pin: other.pin, ca: authority.ca });
  expect(await why(transport.send())).toContain("public key is not the pinned one");
  expect(server.seen).toEqual({ requests: 0, authorization: "" });
});

it("goes through a proxy by CONNECT, with its password, to a private authority or a pinned key", async () => {
  await using server = await secure();
  await using way = await startConnectProxy("plant:50%secret");
  const address = `http://plant:50%secret@127.0.0.1:${way.port}`;
  using byAuthority = open(`https://127.0.0.1:${server.port}`, { proxy: address, ca: authority.ca });
  expect(await byAuthority.send()).toMatchObject({ kind: "ok" });
  using byKey = open(`https://127.0.0.1:${server.port}`, { proxy: address, pin: server.pin });
  expect(await byKey.send()).toMatchObject({ kind: "ok" });
  using wrongKey = open(`https://127.0.0.1:${server.port}`, { proxy: address, pin: (await authority.issue()).pin });
  expect(await why(wrongKey.send())).toContain("not the pinned one");
  expect(way.tunnels).toEqual(new Array(3).fill(`127.0.0.1:${server.port}`));
});

it("takes a proxy's refusal for what it is: not central's word", async () => {
  await using server = await secure();
  await using way = await startConnectProxy("plant:secret");
  using transport = open(`https://127.0.0.1:${server.port}`, { proxy: `http://127.0.0.1:${way.port}`, ca: authority.ca });
  expect(await why(transport.send())).toContain("the proxy does not let us through to central: it answered 407");
  expect(server.seen.requests).toBe(0);
});

it("gives a connection up that is silent, and not one that is slow", async () => {
  await using silent = await plain(() => {});
  using half = open(`http://127.0.0.1:${silent.port}`);
  expect(await why(half.send({ ...get, silenceMs: 100 }))).toContain("silent for");
  // an answer that comes in small parts, for longer in all than the silence that is allowed
  await using slow = await plain((_, response) => {
    response.setHeader("content-type", "application/json");
    let parts = 0;
    const trickle = setInterval(() => {
      response.write(parts === 0 ? '{"parts":[0' : `,${parts}`);
      parts += 1;
      if (parts < 50) return;
      clearInterval(trickle);
      response.end("]}");
    }, 50);
  });
  using transport = open(`http://127.0.0.1:${slow.port}`);
  expect(await transport.send({ ...get, silenceMs: 2000 })).toMatchObject({ kind: "ok", body: { parts: { length: 50 } } });
});

it("gives an answer up that trickles in without an end", async () => {
  await using server = await plain((_, response) => {
    response.setHeader("content-type", "application/json").write(" ");
    const trickle = setInterval(() => response.write(" "), 20);
    response.on("close", () => clearInterval(trickle));
  });
  using transport = open(`http://127.0.0.1:${server.port}`);
  expect(await why(transport.send({ ...get, longestMs: 300 }))).toContain("not done after");
  // one whose bytes come fast enough takes its time
  await using long = await plain((_, response) => {
    response.setHeader("content-type", "application/json").write('"');
    for (let part = 1; part <= 10; part++) setTimeout(() => response.write("x".repeat(20_000)), 50 * part);
    setTimeout(() => response.end('"'), 600);
  });
  using patient = open(`http://127.0.0.1:${long.port}`);
  expect(await patient.send({ ...get, longestMs: 300 })).toMatchObject({ kind: "ok" });
});

it("asks once more when a connection that was kept open had been closed", async () => {
  let answered = 0;
  await using server = await plain((request, response) => {
    answered += 1;
    // the second request meets a connection that ends under it
    if (answered === 2) return request.socket.resetAndDestroy();
    response.setHeader("content-type", "application/json").end("{}");
  });
  using transport = open(`http://127.0.0.1:${server.port}`);
  await transport.send();
  expect(await transport.send()).toMatchObject({ kind: "ok" });
  expect(answered).toBe(3);
});

it("reads how long to wait, and central's problems as what they are", async () => {
  await using server = await plain((_, response) => {
    response.writeHead(429, { "content-type": "application/problem+json", "retry-after": "7" });
    response.end(JSON.stringify(toProblem("limited")));
  });
  using transport = open(`http://127.0.0.1:${server.port}`);
  const answer = await transport.send();
  expect(answer).toMatchObject({ kind: "problem", problem: { code: "limited" } });
  // up to a quarter more, so that not all come back at once
  const { retryAfterMs } = answer as { retryAfterMs: number };
  expect(retryAfterMs).toBeGreaterThanOrEqual(7000);
  expect(retryAfterMs).toBeLessThan(8750);
});

it("knows central's time from its last answer on by running time, whatever is done to our clock", async () => {
  await using server = await plain();
  const began = performance.now();
  let wall = 0;
  const clock = { ...systemClock, now: () => wall };
  const transport = new Transport({
    site: "lyon",
    centralUrl: `http://127.0.0.1:${server.port}`,
    keys: { current: { privateKey, fingerprint: "f" } },
    clock,
  });
  expect(transport.centralNow()).toBeUndefined();
  await transport.send(get, never);
  // as when NTP sets a clock that began in 1970
  for (wall of [0, Date.now(), Date.now() + 1e12]) {
    expect(transport.centralNow()! % 1).toBe(0);
    expect(Math.abs(transport.centralNow()! - Date.now())).toBeLessThan(2000 + performance.now() - began);
  }
  transport.close();
});

it("waits for five minutes at most, whatever it is asked for", async () => {
  await using server = await plain((_, response) => {
    response.writeHead(503, { "content-type": "application/problem+json", "retry-after": "86400" });
    response.end(JSON.stringify(toProblem("busy")));
  });
  using transport = open(`http://127.0.0.1:${server.port}`);
  expect(await transport.send()).toMatchObject({ kind: "problem", retryAfterMs: 300_000 });
});

it("ends a request with its signal", async () => {
  await using server = await plain(() => {});
  const transport = new Transport({
    site: "lyon",
    centralUrl: `http://127.0.0.1:${server.port}`,
    keys: { current: { privateKey, fingerprint: "f" } },
    clock: systemClock,
  });
  const stopping = new AbortController();
  const sent = transport.send(get, stopping.signal);
  stopping.abort();
  await expect(sent).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  transport.close();
});

it.each([
  [
    "a server that accepts and shows no certificate",
    (port: number) => [`https://127.0.0.1:${port}`, { pin: `${"A".repeat(43)}=` }] as const,
  ],
  [
    "a proxy that accepts and does not answer",
    (port: number) => ["https://127.0.0.1:9", { proxy: `http://127.0.0.1:${port}` }] as const,
  ],
])("gives up on %s, and ends with its signal meanwhile", async (_, way) => {
  const sockets = new Set<Socket>();
  const silent = createSilent((socket) => sockets.add(socket.on("error", () => {})));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const [url, dial] = way((silent.address() as AddressInfo).port);
  using patient = open(url, { ...dial, connectMs: 200 });
  expect(await why(patient.send())).toContain("no way opened within");
  const transport = new Transport({
    site: "lyon",
    centralUrl: url,
    keys: { current: { privateKey, fingerprint: "f" } },
    clock: systemClock,
    dial,
  });
  const stopping = new AbortController();
  const sent = transport.send(get, stopping.signal);
  stopping.abort();
  await expect(sent).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  transport.close();
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => silent.close(() => resolve()));
});

it("tries the other keys that it has where central does not know the current one, and stays with the one that it knows", async () => {
  const kidOf = (authorization = ""): string => {
    const [head = ""] = authorization.replace("Bearer ", "").split(".");
    return (JSON.parse(Buffer.from(head, "base64url").toString()) as { kid: string }).kid;
  };
  const seen: string[] = [];
  const refusals: Record<string, "key-unknown" | "site-revoked"> = { current: "key-unknown", revoked: "site-revoked" };
  await using server = await plain((request, response) => {
    const kid = kidOf(request.headers.authorization);
    seen.push(kid);
    const refused = refusals[kid];
    response.statusCode = refused ? toProblem(refused).status : 200;
    response.setHeader("content-type", "application/json").end(JSON.stringify(refused ? toProblem(refused) : { ok: true }));
  });
  const key = (fingerprint: string) => ({ privateKey, fingerprint });
  const keys = {
    current: key("current"),
    others: [key("revoked"), key("next"), key("older")],
    settleOn: (fingerprint: string) => {
      keys.current = key(fingerprint);
    },
  };
  const transport = new Transport({ site: "lyon", centralUrl: `http://127.0.0.1:${server.port}`, keys, clock: systemClock });
  expect(await transport.send(get, never)).toMatchObject({ kind: "ok" });
  expect(await transport.send(get, never)).toMatchObject({ kind: "ok" });
  expect(seen).toEqual(["current", "revoked", "next", "next"]);
  transport.close();
});
