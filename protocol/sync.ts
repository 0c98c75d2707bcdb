import { z } from "zod";
import { releaseOffer } from "./release.ts";
import { identifier, instant } from "./types/common.ts";
import { lanes } from "./types/message-type.ts";

/** The audience of a gateway's token. */
export const tokenAudience = "plantgate-central";
/** The life of a gateway's token. */
export const tokenLifeSeconds = 300;

// Whoever reads one of these passes over keys that he does not know: gateways and centrals are not updated in one night. Bundles alone are strict.

const sequence = z.int().min(0);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
export const laneName = z.enum(lanes);

/** A lane's name in time. A new epoch starts at `firstSequence` and names what it continues. */
export const epoch = z.object({
  lane: laneName,
  epoch: identifier,
  firstSequence: z.int().min(1),
  /** The chain's value before the first message; absent: the lane's genesis for this epoch. A later epoch goes on with its predecessor's chain. */
  chain: digest.optional(),
  predecessor: z.object({ epoch: identifier, lastSequence: sequence }).optional(),
  /** Up to where central had acknowledged it: more than a restored central has. Absent from gateways that do not say so. */
  acknowledged: sequence.optional(),
});
export type Epoch = z.infer<typeof epoch>;

/** `POST /v1/sites/{site}/sessions`: begins a session; older ones are fenced. */
export const hello = z.object({
  gatewayVersion: z.string().max(64),
  /** New at each start of the gateway's process. */
  bootId: identifier,
  sentAt: instant,
  epochs: z.array(epoch).max(16),
});
export type Hello = z.infer<typeof hello>;

export const helloAnswer = z.object({
  session: identifier,
  /** Names this ledger; changes when central was restored from a backup. */
  incarnation: identifier,
  leaseSeconds: z.int().positive(),
  serverTime: instant,
  watermarks: z.array(z.object({ lane: laneName, epoch: identifier, watermark: sequence })),
  /** For so long after an acknowledgement central may still lose what it acknowledged (backup, failover): keep it (rule 6). */
  recoveryPointSeconds: z.int().min(0),
});
export type HelloAnswer = z.infer<typeof helloAnswer>;

export const watermarkAnswer = z.object({ watermark: sequence, incarnation: identifier });
export type WatermarkAnswer = z.infer<typeof watermarkAnswer>;

/** `POST /v1/sites/{site}/downlink`: long poll. `ack`: everything up to it is flushed in the gateway. */
export const downlinkRequest = z.object({
  session: identifier,
  ack: z.object({ epoch: identifier.optional(), sequence }),
  /** The revision that the gateway knows as desired; an answer with another one comes at once. */
  knownRevision: z.int().min(0),
  /** The set of secrets that the gateway holds or is fetching; empty: none. An answer with another one comes at once. */
  knownSecrets: digest.or(z.literal("")).optional(),
  /** The attempt at an upgrade that the gateway knows as wanted; empty: none. Absent: it cannot be upgraded from here. Another one comes at once. */
  knownRelease: identifier.or(z.literal("")).optional(),
  waitMs: z.int().min(0).max(30_000),
});
export type DownlinkRequest = z.infer<typeof downlinkRequest>;

export const downlinkAnswer = z.object({
  epoch: identifier,
  /** CloudEvents as the sending site recorded them, in order; `sequence` is the downlink's own. */
  messages: z.array(
    z.object({
      sequence: z.int().min(1),
      event: z.json(),
      /** How long it waited before it was handed out here: in its sender's queue by running time, at central by central's clock. */
      waitedMs: z.int().min(0),
      /** The site acknowledged it once before: its data folder was set back, and its effect may be there already. */
      again: z.literal(true).optional(),
    }),
  ),
  desired: z.object({
    revision: z.int().min(0),
    digest: digest.optional(),
    /** Names the secrets that the site should have ({@link secretSet}); absent: central has none for it. */
    secrets: digest.optional(),
    /** Which version its program should be; absent: central wants none in particular. */
    release: releaseOffer.optional(),
  }),
  /** What central asks of the gateway besides: dry runs by their id. Each stands there until it is answered. */
  asks: z.array(z.object({ id: identifier, kind: z.enum(["dry-run"]) })).optional(),
  incarnation: identifier,
});
export type DownlinkAnswer = z.infer<typeof downlinkAnswer>;

/** `ok`; `discarding`: samples make room for each other; `bulk-refused`, then `refusing`: nothing new is taken in. */
export const diskStates = ["ok", "discarding", "bulk-refused", "refusing"] as const;
export type DiskState = (typeof diskStates)[number];

export const connectorStates = ["starting", "up", "degraded", "down", "stopped"] as const;
export const connectorReport = z.object({
  name: identifier,
  kind: identifier,
  state: z.enum(connectorStates),
  /** For a person: why it is not up. */
  reason: z.string().max(1000).optional(),
  since: instant,
  /** How often it connected since the gateway's process started. */
  connects: z.int().min(0),
});
export type ConnectorReport = z.infer<typeof connectorReport>;

/** `POST /v1/sites/{site}/status`: what the gateway says of itself; renews the lease. */
export const statusReport = z.object({
  session: identifier,
  sentAt: instant,
  startedAt: instant,
  pid: z.int(),
  gatewayVersion: z.string().max(64),
  /** What it runs on, as packages are named: `linux-x64`. */
  platform: z.string().max(64).optional(),
  /** How it was installed: `deb` or `tar`. Absent: not with an updater, a person upgrades it by hand. */
  installed: z.string().max(32).optional(),
  upgrade: z
    .object({
      /** `UpgradeState`; a word that this side does not know is shown as it is, and no reason to refuse all else that is said. */
      state: z.string().min(1).max(32),
      version: z.string().max(64).optional(),
      /** For a person: why it was refused or given back. */
      reason: z.string().max(1000).optional(),
      /** When its updater said so, by the gateway's clock. */
      at: instant.optional(),
      /** Of the package, of so many. */
      bytes: z.int().min(0).optional(),
      size: z.int().min(0).optional(),
    })
    .optional(),
  lanes: z.array(
    z.object({
      lane: laneName,
      epoch: identifier,
      last: sequence,
      acknowledged: sequence,
      /** recordedtime of the oldest message that central has not acknowledged. */
      oldestAt: instant.optional(),
      waitingBytes: z.int().min(0),
      /** For a person: why nothing of the backlog gets through, as the gateway sees it. */
      stalled: z.string().max(1000).optional(),
    }),
  ),
  /** For a person: why what central sends cannot be taken. */
  downlink: z.object({ stalled: z.string().max(1000) }).optional(),
  /** What the full-disk ladder refuses or discards now, lowest step first. */
  disk: z.object({ state: z.enum(diskStates), freeBytes: z.int().min(0) }),
  deliveries: z.object({
    waiting: z.int().min(0),
    /** Of unknown outcome: a person decides. */
    unknown: z.int().min(0),
    /** Their attempts are used up, their keys are held until a person decides. */
    parked: z.int().min(0),
    /** Of unknown age: they have a deadline that nobody can judge since the machine restarted (rule 10). They wait, undone. */
    stale: z.int().min(0),
    /** Not carried out, as their deadline was over: since the gateway started. Absent from gateways that do not count them. */
    expired: z.int().min(0).optional(),
    oldestAt: instant.optional(),
  }),
  deadLetters: z.int().min(0),
  repeats: z.int().min(0),
  configuration: z.object({
    reported: z.int().min(0),
    /** SHA-256 of the bundle that is in effect, as central signed it. */
    digest: digest.optional(),
    /** `watching`: in effect, and given back by the gateway itself if it does not do well. `rolled-back`: that happened to `refused`. */
    state: z.enum(["none", "active", "refused", "applying", "watching", "rolled-back"]),
    reason: z.string().max(4000).optional(),
    /** The revision that does not run although central wanted it. */
    refused: z.object({ revision: z.int().min(0), digest: digest.optional() }).optional(),
    /** Since `reported` came into effect, in this process: inputs recorded and messages delivered; those that became dead letters instead. */
    since: z.object({ recorded: z.int().min(0), deadLetters: z.int().min(0) }).optional(),
    /** The set of secrets that it holds. */
    secrets: digest.optional(),
  }),
  connectors: z.array(connectorReport).max(1000),
});
export type StatusReport = z.infer<typeof statusReport>;

/**
 * `GET /v1/sites/{site}/secrets`: the payload of a compact JWS by central. Each value is a compact JWE (ECDH-ES+A256KW, A256GCM) to the
 * gateway's own key; several of one name stand newest first, older ones until `validUntil` (what comes in may still be signed with them).
 */
export const secretSet = z.object({
  kind: z.literal("SecretSet"),
  site: identifier,
  /** SHA-256 over names, versions, ends and the gateway's key: what {@link downlinkAnswer} names. */
  set: digest,
  secrets: z.record(
    z.string(),
    z
      .array(
        z.object({
          version: z.int().min(1),
          /** When it was set: a gateway never goes back to an older value (a central that was restored may know only that). */
          at: instant,
          jwe: z.string().max(256 * 1024),
          validUntil: instant.optional(),
        }),
      )
      .min(1),
  ),
  /** Named by the site's configuration, and never given a value as far as this central knows. */
  missing: z.array(z.string()),
});
export type SecretSet = z.infer<typeof secretSet>;
