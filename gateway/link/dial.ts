import { createHash } from "node:crypto";
import { type AgentOptions, type ClientRequestArgs, Agent as PlainAgent, request as requestPlain } from "node:http";
import { request as requestTls, Agent as TlsAgent } from "node:https";
import { connect as connectPlain, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { PlantgateError } from "../../protocol/index.ts";

/** How the gateway gets through to central, besides its address. */
export interface DialOptions {
  /** Certificates (PEM) that central's is judged by, instead of the system's: a private CA. */
  readonly ca?: string;
  /**
   * SHA-256 of central's public key (SubjectPublicKeyInfo, base64). The key is then what counts: a chain that cannot be judged, or a
   * date that is wrong by our clock, is accepted with it (rule 11), and nothing is without.
   */
  readonly pin?: string;
  /** `http://[user:password@]host:port`: the way out is asked of this proxy by CONNECT. */
  readonly proxy?: string;
  /** Only to look at whoever is there: the other side is not judged, and nothing may be said that not everybody may hear. */
  readonly unjudged?: true;
  /** The longest that the way may take to open; 10 s where nothing is said. */
  readonly connectMs?: number;
}

/** Connections that stay open between requests; more than a window's batches, a poll and a report are not under way at once. */
const pool: AgentOptions = { keepAlive: true, maxSockets: 24, scheduling: "fifo" };
const defaultConnectMs = 10_000;

/** Opens and keeps the connections to central. */
export interface Dialer {
  readonly agent: PlainAgent;
  readonly request: typeof requestPlain;
  /** Ends connections that are open, and those that are being opened. */
  close(): void;
}

/** @param url central's address: its scheme tells whether TLS is spoken on the way that opens */
export function makeDialer(url: URL, options: DialOptions): Dialer {
  const secure = url.protocol === "https:";
  const opening = new Set<Socket>();
  const agent = secure ? new TlsAgent(pool) : new PlainAgent(pool);
  agent.createConnection = (args: ClientRequestArgs, opened?: (error: Error | null, socket: Duplex) => void) => {
    open(args, secure, options, opening).then(
      (socket) => opened?.(null, socket),
      (error: Error) => opened?.(error, undefined as never),
    );
    return undefined;
  };
  return {
    agent,
    request: secure ? requestTls : requestPlain,
    close() {
      agent.destroy();
      for (const socket of opening) socket.destroy();
    },
  };
}

/** One way to an address, for whoever only looks. */
export function openWay(url: URL, options: DialOptions): Promise<Socket> {
  return open({ host: url.hostname, port: url.port || undefined }, url.protocol === "https:", options, new Set());
}

/** A way to central, open to its end: directly or through a proxy, with the other side's key judged before anything is said. */
async function open(
  args: ClientRequestArgs,
  secure: boolean,
  { ca, pin, unjudged, proxy, connectMs = defaultConnectMs }: DialOptions,
  opening: Set<Socket>,
): Promise<Socket> {
  let current: Socket | undefined;
  const use = <Opened extends Socket>(socket: Opened): Opened => {
    if (current) opening.delete(current);
    current = socket;
    opening.add(socket);
    return socket;
  };
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    current?.destroy();
  }, connectMs);
  try {
    const host = (args.host ?? "").replace(/^\[|\]$/g, "");
    const port = Number(args.port ?? (secure ? 443 : 80));
    const way = proxy === undefined ? use(connectPlain({ host, port })) : await tunnel(new URL(proxy), host, port, use);
    if (proxy === undefined) await happened(way, "connect");
    way.setKeepAlive(true, 15_000);
    way.setNoDelay(true);
    if (!secure) return way;
    const judged: ConnectionOptions = {
      socket: way,
      host,
      ...(/^[\d.:a-f]+$/i.test(host) ? {} : { servername: host }),
      ALPNProtocols: ["http/1.1"],
      ...(ca === undefined ? {} : { ca }),
      ...(pin === undefined && unjudged === undefined ? {} : { rejectUnauthorized: false }),
    };
    const socket = use(connectTls(judged));
    await happened(socket, "secureConnect");
    if (pin !== undefined && unjudged === undefined) requirePin(socket, pin);
    return socket;
  } catch (error) {
    current?.destroy();
    if (late) throw new PlantgateError("PEER_UNREACHABLE", `no way opened within ${Math.round(connectMs / 1000)} s`);
    throw error;
  } finally {
    clearTimeout(timer);
    if (current) opening.delete(current);
  }
}

/** @throws PlantgateError PEER_UNREACHABLE: the proxy refused; what it says of it is not central's word */
function tunnel(proxy: URL, host: string, port: number, use: (socket: Socket) => Socket): Promise<Socket> {
  const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const password = `${decoded(proxy.username)}:${decoded(proxy.password)}`;
  const headers = {
    host: target,
    ...(proxy.username === "" ? {} : { "proxy-authorization": `Basic ${Buffer.from(password).toString("base64")}` }),
  };
  return new Promise((resolve, reject) => {
    const ask = proxy.protocol === "https:" ? requestTls : requestPlain;
    const asked = ask({
      host: proxy.hostname,
      port: proxy.port || undefined,
      method: "CONNECT",
      path: target,
      headers,
      agent: false,
    });
    asked.once("socket", use);
    asked.once("error", reject);
    asked.once("response", (response) => {
      asked.destroy();
      reject(refused(response.statusCode));
    });
    asked.once("connect", (response, socket: Socket) => {
      if (response.statusCode === 200) return resolve(socket);
      socket.destroy();
      reject(refused(response.statusCode));
    });
    asked.end();
  });
}

/** Of a URL's user or password; a percent sign that encodes nothing stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function refused(status: number | undefined): PlantgateError {
  return new PlantgateError("PEER_UNREACHABLE", `the proxy does not let us through to central: it answered ${status}`);
}

function happened(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      socket.off("error", settle);
      socket.off("close", closed);
      if (error) reject(error);
      else resolve();
    };
    const closed = (): void => settle(new Error("the connection was closed before it was open"));
    socket.once("error", settle);
    socket.once("close", closed);
    socket.once(event, () => settle());
  });
}

function requirePin(socket: TLSSocket, pin: string): void {
  const key = socket.getPeerX509Certificate()?.publicKey.export({ type: "spki", format: "der" });
  const found = key === undefined ? "none" : createHash("sha256").update(key).digest("base64");
  if (found !== pin)
    throw new PlantgateError("PEER_UNREACHABLE", `the server's public key is not the pinned one: SHA-256 ${found}`);
}
