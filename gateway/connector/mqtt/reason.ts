import { describeError } from "../../../protocol/index.ts";

const refusals: Readonly<Record<number, string>> = {
  // MQTT 3.1.1, table 3.1
  1: "the broker does not speak this MQTT version; set version",
  2: "the broker rejects the client id",
  3: "the broker is there but not available",
  4: "wrong username or password",
  5: "the broker does not allow this user",
  // MQTT 5, 3.2.2.2
  128: "the broker refuses without a reason",
  132: "the broker does not speak MQTT 5; set version: 3.1.1",
  133: "the broker rejects the client id",
  134: "wrong username or password",
  135: "the broker does not allow this user",
  136: "the broker is there but not available",
  137: "the broker is busy",
  138: "the broker has banned this client",
  139: "the broker shuts down",
  141: "the broker heard nothing from us in time",
  142: "another client took over this client id; each gateway needs its own",
  144: "the broker does not accept this topic",
  147: "too many messages at once for the broker",
  149: "the message is larger than the broker takes",
  151: "a quota of the broker is spent",
  152: "an administrator ended the connection",
  153: "the broker does not accept the payload",
};

const failures: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there; is the broker running?",
  ENOTFOUND: "the host name is not known",
  EAI_AGAIN: "the host name cannot be looked up now",
  EHOSTUNREACH: "the host cannot be reached",
  ENETUNREACH: "the network cannot be reached",
  ETIMEDOUT: "the host does not answer",
  ECONNRESET: "the connection was reset",
};

/** A reason code of the broker in words. */
export function reasonOfCode(code: number): string {
  return refusals[code] ?? `the broker answers with reason code ${code}`;
}

/** Why there is no connection, for the person who has to repair it; `address` holds no credentials. */
export function reasonOfError(error: unknown, address: string): string {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === "number") return `${address}: ${reasonOfCode(code)}`;
  if (typeof code === "string") return `${address}: ${failures[code] ?? `${describeError(error)} (${code})`}`;
  return `${address}: ${describeError(error)}`;
}

/** Host and port of a broker's URL. */
export function addressOf(url: string): string {
  const { protocol, hostname, port, host } = new URL(url);
  return port === "" ? `${protocol}//${hostname}` : `${protocol}//${host}`;
}
