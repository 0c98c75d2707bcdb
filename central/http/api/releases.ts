import { z } from "zod";
import { packageFile, releaseLimits, releaseSignature } from "../../../protocol/index.ts";
import { instantText } from "./common.ts";

export const releasePackage = z
  .object({
    file: z.string(),
    platform: z.string().meta({ description: "linux-x64" }),
    kind: z.string().meta({ description: "deb or tar: how gateways that take it were installed" }),
    size: z.int(),
    sha256: z.string(),
    addedBy: z.string(),
    addedAt: instantText,
  })
  .meta({ id: "ReleasePackage" });

const besideCentral = z.enum(["same", "older", "newer", "too-old"]).nullable().meta({
  description:
    "Beside central's own version. newer: of a later minor version, upgrade central first; too-old: older than any that this central was made for; null: not known",
});

const releaseView = z
  .object({
    version: z.string(),
    beside: besideCentral,
    packages: z.array(releasePackage),
    ran: z
      .array(z.object({ environment: z.string(), sites: z.int() }))
      .meta({ description: "Where rollouts of these packages are done, and at how many sites they held their gate." }),
  })
  .meta({ id: "Release" });
export type ReleaseView = z.infer<typeof releaseView>;

/** What the gateway of a site runs, as it last said, and what it should run. */
const releaseSite = z
  .object({
    site: z.string(),
    environment: z.string(),
    version: z.string().nullable().meta({ description: "Null: it was never heard." }),
    beside: besideCentral,
    platform: z.string().nullable(),
    installed: z.string().nullable().meta({ description: "deb or tar; null: without an updater, it is upgraded by hand." }),
    desiredVersion: z.string().nullable().meta({ description: "What a rollout wants it to run; null: none has asked for one." }),
    upgrade: z
      .object({
        state: z.string(),
        version: z.string().nullable(),
        reason: z.string().nullable(),
        at: instantText.nullable(),
        bytes: z.int().nullable(),
        size: z.int().nullable(),
      })
      .nullable(),
  })
  .meta({ id: "ReleaseSite" });
export type ReleaseSite = z.infer<typeof releaseSite>;

/** A package of which not all has come. It is given up when nothing of it comes for a while. */
const releaseUpload = z
  .object({
    upload: z.string(),
    file: z.string(),
    version: z.string(),
    size: z.int(),
    chunks: z.int().meta({ description: "So many are here" }),
    by: z.string(),
    movedAt: instantText.meta({ description: "When it was begun, or a chunk of it came last" }),
  })
  .meta({ id: "ReleaseUpload" });

/** `GET /v1/releases` */
export const releasesAnswer = z.object({
  central: z.object({ version: z.string().nullable() }).meta({ description: "Central's own program" }),
  releases: z.array(releaseView),
  uploads: z.array(releaseUpload),
  room: z
    .object({ bytes: z.int(), mostBytes: z.int() })
    .meta({ description: "What all packages take of the ledger, those on their way among them" }),
  sites: z.array(releaseSite),
});
export type ReleasesAnswer = z.infer<typeof releasesAnswer>;

/** `POST /v1/releases/uploads` */
export const uploadBody = z.object({
  file: packageFile,
  size: z.int().min(1).max(releaseLimits.packageBytes),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "SHA-256 in hexadecimal"),
  signature: releaseSignature.meta({ description: "Ed25519 over the file's bytes, base64: what FILE.sig holds" }),
});
export const uploadAnswer = z.object({
  upload: z.string().nullable().meta({ description: "Null: it is here already." }),
  vouched: z.literal(true).optional().meta({
    description: "It came by central's admin token, and is of whoever sent it now: another person approves what carries it.",
  }),
  received: z.int().meta({ description: "Chunks from the first on that are here already." }),
  chunkBytes: z.int(),
});
