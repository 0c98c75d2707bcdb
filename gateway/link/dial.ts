import { createHash } from "node:crypto";
import type { ClientRequest } from "node:http";
import { connect as connectPlain } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { Agent, type AgentConnectOpts } from "agent-base";
import { HttpsProxyAgent } from "https-proxy-agent";
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
}

/** Connections that stay open between requests; more than a window's batches, a poll and a report are not under way at once. */
const maxSockets = 24;

/** Opens the connections to central: directly or through a proxy, judged by the system's, a private CA's or a pinned key. */
export class LinkAgent extends Agent {
  readonly #dial: DialOptions;
  readonly #proxy: HttpsProxyAgent<string> | undefined;

  constructor(dial: DialOptions) {
    super({ keepAlive: true, maxSockets, scheduling: "fifo" });
    this.#dial = dial;
    this.#proxy = dial.proxy === undefined ? undefined : new HttpsProxyAgent(dial.proxy);
  }

  override async connect(request: ClientRequest, options: AgentConnectOpts): Promise<Duplex> {
    const { ca, pin } = this.#dial;
    const judged = options.secureEndpoint
      ? { ...options, ...(ca === undefined ? {} : { ca }), ...(pin === undefined ? {} : { rejectUnauthorized: false }) }
      : options;
    const socket = this.#proxy
      ? await tunnel(this.#proxy, request, judged)
      : judged.secureEndpoint
        ? connectTls(judged)
        : connectPlain(judged);
    // nothing is said, least of all a token, before the other side has shown its key
    if (options.secureEndpoint && pin !== undefined) await shown(socket as TLSSocket, pin);
    return socket as Duplex;
  }
}

/** @throws PlantgateError PEER_UNREACHABLE: the proxy refused; what it says of it is not central's word */
async function tunnel(proxy: HttpsProxyAgent<string>, request: ClientRequest, options: AgentConnectOpts): Promise<Duplex> {
  let status = 0;
  request.once("proxyConnect", ({ statusCode }: { readonly statusCode: number }) => {
    status = statusCode;
  });
  const socket = await proxy.connect(request, options as Parameters<typeof proxy.connect>[1]);
  if (status === 200) return socket as Duplex;
  socket.destroy();
  throw new PlantgateError("PEER_UNREACHABLE", `the proxy does not let us through to central: it answered ${status}`);
}

function shown(socket: TLSSocket, pin: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () =>
      reject(new PlantgateError("PEER_UNREACHABLE", "the connection ended before central showed its key")),
    );
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      const key = socket.getPeerX509Certificate()?.publicKey.export({ type: "spki", format: "der" });
      const found = key === undefined ? "none" : createHash("sha256").update(key).digest("base64");
      if (found === pin) return resolve();
      socket.destroy();
      reject(new PlantgateError("PEER_UNREACHABLE", `the server's public key is not the pinned one: SHA-256 ${found}`));
    });
  });
}
