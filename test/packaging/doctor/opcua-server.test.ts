import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { checkConnectors } from "../../../gateway/doctor/connector-probe.ts";
import { Facts } from "../../../gateway/doctor/doctor.ts";
import type { Running } from "../../../gateway/doctor/running.ts";
import { type Bundle, type ConnectorReport, systemClock } from "../../../protocol/index.ts";

type State = ConnectorReport["state"];

/** A gateway that runs a connector to this server, and says that it is in this state; undefined: it is stopped. */
class Told extends Facts {
  readonly #endpoint: string;
  readonly #state: State | undefined;

  constructor(endpoint: string, state: State | undefined) {
    super({
      dataDir: "/nowhere",
      clock: systemClock,
      holder: undefined,
      ntp: async () => undefined,
      whyNotListen: async () => undefined,
      said: undefined,
      isService: false,
      machineSecrets: new Map(),
      listeners: undefined,
      nameServers: async () => undefined,
      authorities: undefined,
    });
    this.#endpoint = endpoint;
    this.#state = state;
  }

  override async bundle(): Promise<Bundle> {
    const config = { type: "opcua", endpoint: this.#endpoint, trust: [] };
    return { connectors: { press: { config } }, flows: {} } as unknown as Bundle;
  }

  override async running(): Promise<Running> {
    if (this.#state === undefined) return { kind: "stopped" };
    const report = { name: "press", type: "opcua", state: this.#state, reason: "a node is missing" };
    const status = { connectors: [report] };
    return { kind: "running", pid: 1, url: "", askedAt: 0, health: {}, status } as unknown as Running;
  }
}

const err = (code: number) => (socket: Socket) => {
  const answer = Buffer.alloc(16);
  answer.write("ERRF", "latin1");
  answer.writeUInt32LE(16, 4);
  answer.writeUInt32LE(code, 8);
  answer.writeInt32LE(-1, 12);
  socket.end(answer);
};
const tooBusy = err(0x807d0000);
const closes = (socket: Socket) => socket.end();

it.each([
  ["has no connection left", tooBusy, "up", /^ok .*the gateway says that it is up/],
  ["has no connection left", tooBusy, "degraded", /^warning .*degraded: a node is missing/],
  ["has no connection left", tooBusy, "down", /^fault .*no connection left \(BadTcpServerTooBusy\)/],
  ["has no connection left", tooBusy, undefined, /^fault .*no connection left/],
  ["wants another address", err(0x80830000), "down", /^fault .*refuses the address \(BadTcpEndpointUrlInvalid\)/],
  ["fails", err(0x80820000), "down", /^fault .*refuses the connection \(0x80820000\)/],
  ["closes the connection", closes, "up", /^ok /],
  ["closes the connection", closes, "down", /^fault .*closes the connection without an answer.*4840/],
  ["resets the connection", (socket: Socket) => socket.resetAndDestroy(), "up", /^ok /],
  ["is none", (socket: Socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"), "up", /^fault .*is no OPC UA server/],
] as const)("an OPC UA server that %s is judged by what the gateway's own session says (%#)", async (_, answer, state, said) => {
  const server = createServer((socket) => socket.on("error", () => {}).once("data", () => answer(socket)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const facts = new Told(`opc.tcp://127.0.0.1:${(server.address() as AddressInfo).port}`, state);
  const findings = await checkConnectors(facts);
  server.close();
  expect(findings.map(({ level, seen, advice }) => `${level} ${seen} ${advice}`)).toEqual([expect.stringMatching(said)]);
});
