import { isIP } from "node:net";
import { z } from "zod";

/** What central is told at its start; all else lies in its data folder. */
export const centralSettings = z.strictObject({
  dataDir: z.string().min(1).meta({ description: "Folder that central owns: ledger, keys, admin token." }),
  databaseUrl: z
    .string()
    .regex(/^postgres(?:ql)?:\/\//, "postgres://USER@HOST/DATABASE")
    .optional()
    .meta({
      description:
        "PostgreSQL database that holds the ledger instead of a file; several replicas may share it. The password is better kept out of it: PGPASSFILE or PGPASSWORD are read.",
    }),
  host: z.string().min(1).default("127.0.0.1").meta({ description: "Address to listen on; loopback unless said otherwise." }),
  port: z.coerce
    .number()
    .pipe(z.int().min(0).max(65535))
    .default(8420)
    .meta({ description: "Port to listen on; 0: any free one." }),
  leaseSeconds: z
    .int()
    .min(2)
    .max(3600)
    .default(15)
    .meta({ unit: "seconds", description: "A gateway silent for longer is unknown." }),
  recoveryPointSeconds: z
    .int()
    .min(0)
    .max(7 * 86_400)
    .default(3600)
    .meta({
      unit: "seconds",
      description: "How old a backup may be when it is restored: gateways keep what was acknowledged for so long.",
    }),
  backupOverdueDays: z.int().min(0).max(365).default(2).meta({
    unit: "days",
    description:
      "An alarm says when central has run for so long without a new backup; 0: never, as where the database's own backups serve.",
  }),
  maxBacklogMessages: z.int().min(10_000).default(5_000_000).meta({
    unit: "messages",
    description: "Recorded messages of a site that may wait for projection before its samples and bulk data are refused.",
  }),
  // those of the last ten versions or so for every platform
  maxReleasesMiB: z
    .int()
    .min(256)
    .max(1024 * 1024)
    .default(4096)
    .meta({
      unit: "MiB",
      description: "Of the ledger, by the packages of gateways (`plantgate release add`), those on their way among them.",
    }),
  trustedProxies: z
    .array(z.string().refine(isNetwork, "an address or a network such as 10.0.0.0/8"))
    .default(["127.0.0.1", "::1"])
    .meta({ description: "Proxies before central: what they say in X-Forwarded-For is where a call comes from." }),
  newSigningKey: z.boolean().default(false).meta({
    description:
      "The signing key of this ledger is lost for good: begin with the one of the data folder. Gateways have to be enrolled anew.",
  }),
  consoleDir: z.string().min(1).optional().meta({ description: "Folder of the built console; none: only the API is served." }),
  logLevel: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .meta({ description: "What the log tells: this and all that is worse." }),
});
export type CentralSettings = z.infer<typeof centralSettings>;

function isNetwork(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return more.length === 0 && longest > 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= longest));
}
