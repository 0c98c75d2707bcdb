import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { type ConnectorConfig, type ConnectorReport, type OpcuaConnectorConfig, parseJson } from "../../protocol/index.ts";
import { get, isAwayStatus } from "./get.ts";
import { type Endpoint, helloOpcua } from "./opcua-hello.ts";

/** What a system says that was reached, to a question that has no effect there. Undefined: nothing that is wrong, or that we may not ask. */
export interface Objection {
  readonly seen: string;
  readonly advice: string;
  /** In which states of the connector the running gateway knows better; in none where it may have heard of it long ago. */
  readonly unless: readonly ConnectorReport["state"][];
}

const elsewhere = "A proxy or another server may stand there";

export function askSystem(config: ConnectorConfig, socket: Socket): Promise<Objection | undefined> | undefined {
  if (config.type === "opcua") return askOpcua(config, socket);
  if (config.type === "odoo") return askOdoo(new URL(config.url), socket);
  // of any other path it is not known that to ask for it has no effect
  if (config.type === "http" && config.url !== undefined && config.health)
    return askHttp(new URL(config.url), config.health.path, socket);
  return undefined;
}

async function askHttp(url: URL, path: string, socket: Socket): Promise<Objection | undefined> {
  const got = await get(socket, new URL(`${url.pathname.replace(/\/$/, "")}${path}`, url));
  if (got.kind === "answer") return undefined;
  return { seen: got.reason, advice: "Does that system hang? Look at it, and at what stands before it", unless: [] };
}

/** `GET /web/version` needs no database and no key. */
async function askOdoo(url: URL, socket: Socket): Promise<Objection | undefined> {
  const got = await get(socket, new URL("/web/version", url));
  if (got.kind === "failed")
    return { seen: got.reason, advice: "Does Odoo hang? Look at it, and at what stands before it", unless: [] };
  if (isAwayStatus(got.status))
    return {
      seen: `Odoo is away behind what answers there: HTTP ${got.status}`,
      advice: "Start Odoo, or correct what stands before it",
      unless: [],
    };
  const { version_info: info } = (parseJson(got.text) ?? {}) as { version_info?: unknown };
  const release = Array.isArray(info) ? /\d+/.exec(String(info[0]))?.[0] : undefined;
  if (release === undefined)
    return {
      seen: `what answers is no Odoo: HTTP ${got.status} to GET /web/version`,
      advice: `Is this Odoo's address? ${elsewhere}`,
      unless: ["up"],
    };
  if (Number(release) >= 19) return undefined;
  return {
    seen: `it is Odoo ${(info as unknown[]).slice(0, 2).join(".")}, which has no JSON-2`,
    advice: "JSON-2 came with Odoo 19: this connector needs that, or a later one",
    unless: ["up"],
  };
}

const modes = { None: 1, Sign: 2, SignAndEncrypt: 3 } as const;
const [anonymous, userName] = [0, 1];

async function askOpcua(config: OpcuaConnectorConfig, socket: Socket): Promise<Objection | undefined> {
  const hello = await helloOpcua(socket, config.endpoint);
  if (hello.kind === "refused") return judgeRefusal(hello.statusCode);
  if (hello.kind === "closed")
    return {
      seen: "it closes the connection without an answer",
      advice: `Is that the port of the OPC UA server (opc.tcp://HOST:4840 is usual)? ${tooMany}`,
      unless: session,
    };
  if (hello.kind === "failed")
    return {
      seen: hello.reason,
      advice: "Is that the port of the OPC UA server (opc.tcp://HOST:4840 is usual), and does it hang? Look at it",
      unless: [],
    };
  return hello.kind === "endpoints" ? judgeEndpoints(config, hello.endpoints) : undefined;
}

/** These it has in a session, and our question was one connection more. */
const session = ["up", "degraded"] as const;
const tooMany = "A small machine takes few connections: which others are open there?";
/** Of the status codes (part 6, annex A) those by which a server says that it has no room for one more. */
const full: Readonly<Record<number, string>> = {
  2147745792: "BadResourceUnavailable",
  2153119744: "BadTooManySessions",
  2155675648: "BadTcpServerTooBusy",
  2155937792: "BadTcpNotEnoughResources",
  2159476736: "BadMaxConnectionsReached",
};
const wrongAddress = 0x80830000;

function judgeRefusal(statusCode: number): Objection {
  const name = full[statusCode];
  if (name !== undefined) return { seen: `the OPC UA server has no connection left (${name})`, advice: tooMany, unless: session };
  if (statusCode === wrongAddress)
    return {
      seen: "the OPC UA server refuses the address (BadTcpEndpointUrlInvalid)",
      advice: "Set endpoint to one that the server itself names",
      unless: session,
    };
  return {
    seen: `the OPC UA server refuses the connection (0x${statusCode.toString(16).padStart(8, "0")})`,
    advice: "Look at the server: its log or its diagnostics say why",
    unless: session,
  };
}

/** Whether what the configuration wants is offered, and known. */
function judgeEndpoints({ security, auth, trust }: OpcuaConnectorConfig, endpoints: readonly Endpoint[]): Objection | undefined {
  const { mode = "None", policy = "None" } = security ?? {};
  const fitting = endpoints.filter((each) => each.mode === modes[mode] && each.policy === policy);
  const offered = [...new Set(endpoints.map((each) => `${modeName(each.mode)} and ${each.policy}`))].join(", ");
  if (fitting.length === 0)
    return {
      seen: `the server offers no endpoint with ${mode} and ${policy}, only ${offered || "none at all"}`,
      advice: "Set security to one of these, or have the server offer it",
      unless: ["up"],
    };
  const wanted = auth ? userName : anonymous;
  if (!fitting.some(({ tokens }) => tokens.includes(wanted)))
    return auth
      ? {
          seen: "the server takes no user name and password there",
          advice: "Leave auth out, or have the server take it",
          unless: ["up"],
        }
      : { seen: "the server wants a user name", advice: "Set auth, with a user that the server knows", unless: ["up"] };
  const [{ certificate } = { certificate: Buffer.alloc(0) }] = fitting;
  if (mode === "None" || certificate.length === 0) return undefined;
  const thumbprint = createHash("sha1").update(leafOf(certificate)).digest("hex");
  if (trust.some((each) => each.toLowerCase() === thumbprint)) return undefined;
  return {
    seen: `the server's certificate is not among those that are trusted: SHA-1 ${thumbprint}`,
    advice: "Compare it with the machine's own, then add it to trust",
    unless: ["up"],
  };
}

function modeName(mode: number): string {
  return Object.entries(modes).find(([, value]) => value === mode)?.[0] ?? `mode ${mode}`;
}

/** Of a chain the server's own comes first: a SEQUENCE with a length of two bytes. */
function leafOf(chain: Buffer): Buffer {
  return chain[1] === 0x82 ? chain.subarray(0, 4 + chain.readUInt16BE(2)) : chain;
}
