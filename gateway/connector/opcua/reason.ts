import { describeError, type OpcuaConnectorConfig } from "../../../protocol/index.ts";

/** What a person can do about a connection that does not come up. */
export interface Circumstances {
  readonly config: OpcuaConnectorConfig;
  /** Thumbprint of the server certificate that we refused in this attempt. */
  readonly refused: string | undefined;
  /** Thumbprint of our own certificate, to be looked for on the server. */
  readonly own: string | undefined;
}

// The library throws bare errors that differ in their text only, so the text is read here, and nowhere else; an unknown one is passed on.
const sentences: readonly (readonly [RegExp, (circumstances: Circumstances) => string])[] = [
  [/BadUserAccessDenied|BadIdentityToken/, () => "the server refused the user name or the password"],
  [/ANONYMOUS user token policy/i, () => "the server wants a user name: set auth"],
  [/Cannot find .*user token policy/i, () => "the server does not take a user name and a password"],
  [/ECONNREFUSED/, ({ config }) => `nothing listens at ${config.endpoint}: the server is off, or the address is wrong`],
  [/ENOTFOUND|EAI_AGAIN/, ({ config }) => `the host name in ${config.endpoint} is not known`],
  [/EHOSTUNREACH|ENETUNREACH/, ({ config }) => `no route to ${config.endpoint}`],
  [
    /cannot find (an )?end ?point|matching end ?point|BadSecurityModeRejected|BadSecurityPolicyRejected/i,
    ({ config }) =>
      `the server offers no endpoint with ${config.security?.mode ?? "None"} and ${config.security?.policy ?? "None"}`,
  ],
  [/BadTooManySessions/, () => "the server has no session left for us"],
  [/ERROR in waiting for data/, ({ config }) => `what listens at ${config.endpoint} hung up on us: is it an OPC UA server?`],
  [/ETIMEDOUT|Timeout|timed out/, ({ config }) => `no answer from ${config.endpoint}`],
  [/BadSecurityChecksFailed|BadCertificate|rejected by server|third party/, refusedByServer],
];

export function toReason(error: unknown, circumstances: Circumstances): string {
  if (circumstances.refused !== undefined) {
    return `the server's certificate is not trusted; if it is the machine's own, add its SHA-1 thumbprint to trust: ${circumstances.refused}`;
  }
  const text = describeError(error);
  for (const [pattern, sentence] of sentences) if (pattern.test(text)) return sentence(circumstances);
  return text.split("\n", 1)[0] ?? text;
}

/** A server that does not trust us mostly just hangs up. */
function refusedByServer({ config, own }: Circumstances): string {
  if ((config.security?.mode ?? "None") === "None") return `the server at ${config.endpoint} ended the connection`;
  return `the server hung up, most likely it does not trust our certificate: trust it on the server, SHA-1 thumbprint ${own ?? "unknown"}`;
}
