import type { X509Certificate } from "node:crypto";
import { isIP, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { describeError } from "../../protocol/index.ts";
import { type DialOptions, openWay } from "../link/dial.ts";

/** What stands at an address: nothing is judged, nothing was said. */
export type Seen =
  | {
      readonly kind: "open";
      readonly socket: Socket;
      readonly certificate: X509Certificate | undefined;
      /** What a client that judges would say of it: OpenSSL's code, or Node's for a name that does not fit. */
      readonly objection: string | undefined;
    }
  /** `isPlain`: it answers, and what it says is no TLS. */
  | { readonly kind: "closed"; readonly reason: string; readonly isPlain: boolean };

export interface Address {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

const connectMs = 5000;

export async function lookAt({ host, port, secure }: Address, options: DialOptions = {}): Promise<Seen> {
  const url = new URL(`${secure ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`);
  try {
    const socket = await openWay(url, { connectMs, ...options, unjudged: true });
    socket.on("error", () => {});
    if (!(socket instanceof TLSSocket)) return { kind: "open", socket, certificate: undefined, objection: undefined };
    const error = socket.authorizationError as unknown;
    const objection = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : error;
    return {
      kind: "open",
      socket,
      certificate: socket.getPeerX509Certificate(),
      objection: objection ? String(objection) : undefined,
    };
  } catch (error) {
    // OpenSSL's own words for that are a line of its source
    if (isPlain(error)) return { kind: "closed", reason: "what answers there speaks no TLS", isPlain: true };
    return { kind: "closed", reason: reasonOf(error), isPlain: false };
  }
}

function isPlain(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause)
    if ((each as NodeJS.ErrnoException).code === "ERR_SSL_WRONG_VERSION_NUMBER") return true;
  return false;
}

/** An attempt at several addresses has no text of its own. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(describeError).join("; ");
  return describeError(error);
}

/** Objections to nothing but dates; a clock that is wrong raises them as well. */
export function isDateObjection(objection: string | undefined): boolean {
  return objection === "CERT_HAS_EXPIRED" || objection === "CERT_NOT_YET_VALID";
}

/** A wrong date is said first: whether it is made for another name is then not said. */
export function isForAnother(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) === undefined;
}

export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, "");
}
