import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createServer } from "node:tls";
import { freePort } from "../../support/mosquitto.ts";
import { nowMs, serveParent } from "../base/child.ts";
import type { TlsFiles } from "./tls.ts";

// ends TLS before central, as a load balancer does; listens when it is told to
await serveParent<TlsFiles & { target: string }, void>(async ({ certificateFile, keyFile, target }, parent) => {
  const { hostname, port: targetPort } = new URL(target);
  const server = createServer({ cert: readFileSync(certificateFile), key: readFileSync(keyFile) }, (outer) => {
    const inner = connect({ host: hostname, port: Number(targetPort), noDelay: true });
    for (const [socket, other] of [
      [outer, inner],
      [inner, outer],
    ] as const) {
      socket.on("error", () => other.destroy());
      socket.on("close", () => other.destroy());
    }
    outer.pipe(inner);
    inner.pipe(outer);
  });
  server.on("tlsClientError", () => {});
  const port = await freePort();
  parent.say("ready", { url: `https://127.0.0.1:${port}` });
  await parent.heard("listen");
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  parent.say("listening", nowMs());
  await parent.heard("stop");
});
