import { createServer } from "node:net";
import { type Finding, fault, type Listener, listenerAt, ok, stopping, unchecked } from "../../protocol/index.ts";
import type { Facts } from "./facts.ts";

interface Wanted {
  readonly port: number;
  readonly host: string;
  readonly user: string;
}

const localListener = "the local listener";

/** Ports that the gateway listens on, or would: free, or its own. */
export async function checkPorts(facts: Facts): Promise<Finding[]> {
  const [settings, running, bundle] = await Promise.all([facts.settings(), facts.running(), facts.bundle()]);
  const wanted: Wanted[] = [];
  // one that runs has its port: it would not have started without
  if (running.kind === "stopped" && settings.known && facts.place.said !== undefined)
    wanted.push({ port: settings.value.port, host: settings.value.host, user: localListener });
  for (const [name, { config }] of Object.entries(bundle?.connectors ?? {}))
    if (config.type === "mqtt-broker") wanted.push({ port: config.port, host: config.host, user: name });
  const findings = await Promise.all(
    wanted
      .filter(({ port }) => port !== 0)
      .map((each) => judge(each, facts, running.kind === "stopped" ? undefined : running.pid)),
  );
  if (running.kind === "running") findings.push(ok(`${running.url} answers`, "the local listener"));
  return findings.length > 0 ? findings : [unchecked("the gateway does not run, and its ports are not known")];
}

async function judge({ port, host, user }: Wanted, facts: Facts, own: number | undefined): Promise<Finding> {
  const listener = listenerAt(facts.place.listeners, { host, port, own });
  const subject = `${user}, port ${port}`;
  const why = own === undefined ? await facts.place.whyNotListen(host, port) : undefined;
  if (why !== undefined) {
    const say = user === localListener ? stopping : fault;
    return say(why, `Give it an address of this machine (127.0.0.1 is usual), and a port from 1024 on`, subject);
  }
  if (facts.place.listeners !== undefined && !listener) {
    if (own === undefined) return ok("it is free", subject);
    return unchecked("nobody listens there; what the gateway says of it stands with the connectors", subject);
  }
  if (listener?.pid !== undefined)
    return listener.pid === own ? ok("it is our own", subject) : taken(listener, { user, port, host });
  if (own !== undefined) return unchecked("who listens there can be told by root alone", subject);
  return (await isFree(port, host)) ? ok("it is free", subject) : taken(listener, { user, port, host });
}

/** Without the local listener there is no start; a broker of its own comes up when its port is free. */
function taken(listener: Listener | undefined, { user, port }: Wanted): Finding {
  const who = listener?.pid === undefined ? "another process" : `process ${listener.pid} (${listener.command ?? "?"})`;
  const say = user === localListener ? stopping : fault;
  return say(`${who} listens there`, "Stop that process, or give the gateway another port", `${user}, port ${port}`);
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
