import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { connect, createServer as createTcpServer, type Server as NetServer, type Socket } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import type { Authority, Certificate } from "../../../support/certificates.ts";
import { freePort, type Mosquitto, startMosquitto } from "../../../support/mosquitto.ts";

/** By which the plant's server knows each system; what it shows is made for that name. */
export const hosts = {
  central: "central.plant.example",
  wms: "wms.plant.example",
  scheduler: "scheduler.plant.example",
  press: "press.plant.example",
  erp: "erp.plant.example",
} as const;

/** A certificate that nobody vouches for, as it is made by hand. */
export function selfSigned(folder: string, days: number, name: string): Pick<Certificate, "cert" | "key"> {
  const [cert, key] = [join(folder, "self.pem"), join(folder, "self.key")];
  const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
  const made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", String(days)];
  execFileSync("openssl", ["req", "-x509", ...made, ...subject, "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}

/** Listens on one port for as long as the test lasts, as one server after the other. */
class Place {
  readonly port: number;
  #server: NetServer | Server | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(port: number) {
    this.port = port;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
  }

  async serve(server: NetServer | Server): Promise<void> {
    await this.close();
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.port, "127.0.0.1", resolve);
    });
  }
}

/** What stands before central: passes on what is said inside TLS, or does something else. */
export async function startFront(authority: Authority, behind: string) {
  const place = new Place(await freePort());
  const { port: behindPort, hostname } = new URL(behind);
  const pass = (socket: Socket): void => {
    const out = connect(Number(behindPort), hostname);
    socket.pipe(out).pipe(socket);
    socket.on("error", () => out.destroy()).on("close", () => out.destroy());
    out.on("error", () => socket.destroy()).on("close", () => socket.destroy());
  };
  const serve = (certificate: Pick<Certificate, "cert" | "key">, answer: (socket: Socket) => void): Promise<void> =>
    place.serve(createTlsServer(certificate, answer).on("tlsClientError", () => {}));
  const issue = () => authority.issue(90, { names: [hosts.central] });
  const front = {
    port: place.port,
    url: `https://${hosts.central}:${place.port}`,
    /** As it should be, or with another certificate. */
    present: async (certificate?: Pick<Certificate, "cert" | "key">): Promise<void> =>
      serve(certificate ?? (await issue()), pass),
    answer: async (text: string): Promise<void> =>
      serve(await issue(), (socket) => socket.once("data", () => text !== "" && socket.end(text))),
    /** Takes connections, and says nothing, TLS not either. */
    freeze: (): Promise<void> => place.serve(createTcpServer()),
    close: (): Promise<void> => place.close(),
    [Symbol.asyncDispose]: (): Promise<void> => place.close(),
  };
  await front.present();
  return front;
}

/** A Mosquitto that speaks TLS for its name, always on the same port. */
export async function startBroker(folder: string, authority: Authority) {
  const port = await freePort();
  let broker: Mosquitto | undefined;
  const start = async (
    certificate?: Pick<Certificate, "cert" | "key">,
    users?: Readonly<Record<string, string>>,
  ): Promise<void> => {
    await broker?.[Symbol.asyncDispose]();
    const { cert, key } = certificate ?? (await authority.issue(90, { names: [hosts.wms] }));
    const [certFile, keyFile] = [join(folder, "broker.pem"), join(folder, "broker.key")];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    broker = await startMosquitto({ port, config: [`certfile ${certFile}`, `keyfile ${keyFile}`], ...(users ? { users } : {}) });
  };
  await start();
  return {
    url: `mqtts://${hosts.wms}:${port}`,
    port,
    present: start,
    plain: async (): Promise<void> => {
      await broker?.[Symbol.asyncDispose]();
      broker = await startMosquitto({ port });
    },
    stop: async (): Promise<void> => broker?.[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: async (): Promise<void> => broker?.[Symbol.asyncDispose](),
  };
}

/** An HTTP server, always on the same port; what it answers can be changed, and that it answers. */
export async function startPeer(host: string, well: RequestListener) {
  const place = new Place(await freePort());
  const peer = {
    url: `http://${host}:${place.port}`,
    answer: (listener: RequestListener = well): Promise<void> => place.serve(createServer(listener)),
    freeze: (): Promise<void> => place.serve(createTcpServer()),
    close: (): Promise<void> => place.close(),
    [Symbol.asyncDispose]: (): Promise<void> => place.close(),
  };
  await peer.answer();
  return peer;
}

/** As much of Odoo as is asked while nothing is to be booked. */
export function odoo({ release = "19.0" } = {}): RequestListener {
  return (request, response) => {
    const json = (value: unknown) => response.setHeader("content-type", "application/json").end(JSON.stringify(value));
    if (request.url === "/web/version")
      return json({ version_info: [...release.split(".").map(Number), 0, "final", 0, ""], version: release });
    if (!request.url?.startsWith("/json/2/") || Number.parseInt(release, 10) < 19) return response.writeHead(404).end();
    request.resume().on("end", () => json(request.url?.endsWith("search_read") ? [] : 2));
    return undefined;
  };
}
