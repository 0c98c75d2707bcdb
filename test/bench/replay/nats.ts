import { mkdirSync, writeFileSync } from "node:fs";
import { AckPolicy, DeliverPolicy, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { freePort } from "../../support/mosquitto.ts";
import { requireService } from "../../support/services.ts";
import { nowMs } from "../base/child.ts";
import { diskMiB, peakRssMiB } from "../base/disk.ts";
import { makeProgram, type Program } from "../base/program.ts";
import type { Report } from "../base/report.ts";
import { openWorkspace, type Workspace } from "../base/workspace.ts";
import { hubStream, type NatsConsumed, rawDeliverySubject, reader } from "./nats-hub.ts";
import { arrivals, type PeerReplay } from "./replayed.ts";
import { makeTlsFiles, type TlsFiles } from "./tls.ts";

export interface NatsReplay extends PeerReplay {
  /** Messages in the hub's stream, as the server itself counts them. */
  readonly storedPerSecond: number;
}

export interface NatsOptions {
  readonly messages: number;
  readonly outageSeconds: number;
  /** The consumer at the hub: a client on a bare socket, or the official npm client. */
  readonly client: "raw" | "npm";
  /** The leaf dials the hub over TLS. */
  readonly tls: boolean;
  readonly report: Report;
}

/** A NATS leaf node with JetStream in the plant; a stream at the hub has the leaf's as its source. The hub comes back. */
export async function replayNats(options: NatsOptions): Promise<NatsReplay> {
  const { messages, outageSeconds, client, report } = options;
  const name = `nats (${client} client${options.tls ? ", TLS" : ""})`;
  await using workspace = await openWorkspace();
  const tls = options.tls ? await makeTlsFiles(workspace.folder) : undefined;
  const [hubPort, leafPort, linkPort] = [await freePort(), await freePort(), await freePort()];
  const hub = await makeNats(workspace, "hub", hubPort, hubLink(linkPort, tls));
  const leaf = await makeNats(workspace, "leaf", leafPort, leafLink(linkPort, tls));
  await hub.start();
  await leaf.start();
  await addStream(leafPort, { name: "EDGE", subjects: ["edge.>"] });
  await addStream(hubPort, { name: hubStream, sources: [{ name: "EDGE", external: { api: "$JS.leaf.API", deliver: "" } }] });
  await addReader(hubPort, client);
  await hub.stop();
  report.progress(`${name}: fills the leaf's stream with ${messages} messages`);
  const fill = { to: "nats", port: leafPort, place: "edge.samples", first: 1, count: messages, window: 1000 };
  const filled = await workspace.child<{ seconds: number }>("load/fill", fill).result;
  const consumer = workspace.child<NatsConsumed>(`replay/nats-${client}-consumer`, {
    port: hubPort,
    first: 1,
    count: messages,
  });
  report.progress(`${name}: the link stays down for ${outageSeconds} s`);
  await new Promise((resolve) => setTimeout(resolve, outageSeconds * 1000));
  await hub.start();
  const returnedAt = nowMs();
  const read = await consumer.result;
  report.progress(`${name}: all read ${((read.lastAt - returnedAt) / 1000).toFixed(1)} s after the link's return`);
  return {
    fillPerSecond: messages / filled.seconds,
    ...arrivals(read, messages, returnedAt),
    acknowledgedPerSecond: read.storedPerSecond,
    acknowledgedSeconds: (read.storedAt - returnedAt) / 1000,
    storedPerSecond: read.storedPerSecond,
    diskMiB: diskMiB(workspace.path("leaf")),
    peakRssMiB: peakRssMiB(leaf.pid),
  };
}

async function makeNats(workspace: Workspace, name: string, port: number, more: readonly string[]): Promise<Program> {
  const path = await requireService("nats-server");
  if (!path) throw new Error("nats-server is missing");
  const folder = workspace.path(name);
  mkdirSync(folder, { recursive: true });
  const lines = [
    `listen: "127.0.0.1:${port}"`,
    `server_name: "${name}"`,
    // a reader that lags for a moment is not cut off
    "max_pending: 512MB",
    `jetstream { domain: "${name}", store_dir: "${folder}", max_file_store: 16GB, max_memory_store: 1GB }`,
    ...more,
  ];
  const file = workspace.path(`${name}.conf`);
  writeFileSync(file, `${lines.join("\n")}\n`);
  return workspace.use(makeProgram(path, ["-c", file, "-l", workspace.path(`${name}.log`)], port));
}

function hubLink(port: number, files: TlsFiles | undefined): string[] {
  const tls = files ? `, tls { cert_file: "${files.certificateFile}", key_file: "${files.keyFile}", timeout: 5 }` : "";
  return [`leafnodes { listen: "127.0.0.1:${port}"${tls} }`];
}

function leafLink(port: number, files: TlsFiles | undefined): string[] {
  const tls = files ? `, tls { ca_file: "${files.authorityFile}", timeout: 5 }` : "";
  const scheme = files ? "tls" : "nats-leaf";
  return [`leafnodes { reconnect: 1, remotes: [ { url: "${scheme}://127.0.0.1:${port}"${tls} } ] }`];
}

type StreamSettings = Parameters<Awaited<ReturnType<typeof jetstreamManager>>["streams"]["add"]>[0];

async function addStream(port: number, stream: StreamSettings): Promise<void> {
  const connection = await connect({ servers: `127.0.0.1:${port}` });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ ...stream, storage: StorageType.File });
  await connection.close();
}

/** Reads from the beginning without acknowledging, as a consumer of central's API does: it keeps its place itself. */
async function addReader(port: number, client: NatsOptions["client"]): Promise<void> {
  const connection = await connect({ servers: `127.0.0.1:${port}` });
  const manager = await jetstreamManager(connection);
  await manager.consumers.add(hubStream, {
    durable_name: reader,
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.All,
    ...(client === "raw" ? { deliver_subject: rawDeliverySubject } : {}),
  });
  await connection.close();
}
