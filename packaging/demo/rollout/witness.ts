import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { z } from "zod";

/** What an agent said that it runs, in the order it said so. */
export interface Said {
  readonly revision: number;
  readonly state: string;
  readonly atMs: number;
}

/** Stands between the agents and central, forwards everything, and notes what each asked for and said: not a word of central's or theirs is trusted. */
export interface Witness {
  readonly url: string;
  /** Revisions whose bundle an agent fetched, each time it did. */
  fetched(site: string): readonly number[];
  said(site: string): readonly Said[];
  /** How many sessions an agent began. */
  sessions(site: string): number;
  stop(): Promise<void>;
}

const report = z.looseObject({ configuration: z.looseObject({ reported: z.int(), state: z.string() }) });
const path = /^\/v1\/sites\/([^/]+)\/(bundles\/(\d+)|status|sessions)$/;
/** A status report is some kilobytes; what is larger is none. */
const longestNoted = 1024 * 1024;

function configurationOf(body: string): z.infer<typeof report>["configuration"] | undefined {
  try {
    return report.safeParse(JSON.parse(body)).data?.configuration;
  } catch {
    return undefined;
  }
}

export async function startWitness(target: string): Promise<Witness> {
  const { hostname, port } = new URL(target);
  const fetched = new Map<string, number[]>();
  const said = new Map<string, Said[]>();
  const sessions = new Map<string, number>();

  const note = (site: string, what: string, revision: string | undefined, body: string): void => {
    if (revision !== undefined) fetched.set(site, [...(fetched.get(site) ?? []), Number(revision)]);
    else if (what === "sessions") sessions.set(site, (sessions.get(site) ?? 0) + 1);
    else {
      const configuration = configurationOf(body);
      if (!configuration) return;
      const known = said.get(site) ?? [];
      const last = known.at(-1);
      if (last?.revision === configuration.reported && last.state === configuration.state) return;
      said.set(site, [...known, { revision: configuration.reported, state: configuration.state, atMs: performance.now() }]);
    }
  };

  const forward = (inner: IncomingMessage, answer: ServerResponse): void => {
    const { method, url: asked, headers } = inner;
    const outer = request({ host: hostname, port, method, path: asked, headers }, (from) => {
      answer.writeHead(from.statusCode ?? 502, from.rawHeaders);
      from.pipe(answer);
    });
    // either side may go: the other one sees that its request ended
    outer.on("error", () => answer.destroy());
    answer.on("close", () => outer.destroy());
    const [, site, what, revision] = path.exec(asked ?? "") ?? [];
    if (site !== undefined && what !== undefined) {
      const parts: Buffer[] = [];
      let bytes = 0;
      inner.on("data", (part: Buffer) => {
        bytes += part.length;
        if (bytes <= longestNoted) parts.push(part);
      });
      inner.on("end", () => note(site, what, revision, Buffer.concat(parts).toString("utf8")));
    }
    inner.pipe(outer);
  };

  const server = createServer(forward);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`,
    fetched: (site) => fetched.get(site) ?? [],
    said: (site) => said.get(site) ?? [],
    sessions: (site) => sessions.get(site) ?? 0,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
