import { z } from "zod";

/** The little that is local to a gateway; everything else comes from central as a bundle. */
export const gatewaySettings = z.strictObject({
  site: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
    .meta({ description: "Name of the site, as central knows it." }),
  dataDir: z.string().min(1).meta({ description: "Folder that the gateway owns: key, queue, secrets, bundles." }),
  centralUrl: z
    .url({ protocol: /^https?$/ })
    .refine((url) => isOrigin(url), "central's address has no path, user or query: such as https://central.example.com")
    .meta({ description: "Central's address." }),
  centralKeyFile: z
    .string()
    .min(1)
    .optional()
    .meta({ description: "File with central's public signing key (PEM), as `plantgate site add` prints it; none: as enrolled." }),
  centralCaFile: z
    .string()
    .min(1)
    .optional()
    .meta({ description: "File with certificates (PEM) by which central's is judged: a private CA." }),
  centralPin: z
    .base64()
    .length(44)
    .optional()
    .meta({ description: "SHA-256 of central's public TLS key (SPKI, base64): the key is then what counts." }),
  proxy: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: "HTTP proxy through which central is reached (CONNECT)." }),
  host: z
    .string()
    .default("127.0.0.1")
    .meta({ description: "Address of the local listener (webhooks, health); loopback unless said otherwise." }),
  port: z.coerce
    .number()
    .int()
    .min(0)
    .max(65535)
    .default(8430)
    .meta({ description: "Port of the local listener; 0: any free one." }),
  credentialsDir: z
    .string()
    .min(1)
    .optional()
    .meta({ description: "Folder with secrets of this machine as `secrets_NAME`: systemd's LoadCredential puts them there." }),
  installedDir: z
    .string()
    .min(1)
    .optional()
    .meta({ description: "Where a package put this program: what its updater notes is read there." }),
  unfence: z.boolean().default(false).meta({ description: "A person decided that this gateway is the real one, not its clone." }),
  logLevel: z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .meta({ description: "What the log tells: this and all that is worse." }),
});
export type GatewaySettings = z.infer<typeof gatewaySettings>;

/** Central's paths begin at the root: one in its address would be dropped without a word. */
function isOrigin(url: string): boolean {
  // what is no address at all was said before
  if (!URL.canParse(url)) return true;
  const { pathname, search, hash, username, password } = new URL(url);
  return pathname === "/" && `${search}${hash}${username}${password}` === "";
}
