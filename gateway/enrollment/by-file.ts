import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { z } from "zod";
import {
  bundle as bundleSchema,
  type Clock,
  describeIssues,
  type EnrollmentRequest,
  enrollmentRequest,
  PlantgateError,
  parseJson,
  type SiteFile,
  siteFile,
} from "../../protocol/index.ts";
import { AgentDocuments } from "../agent/documents.ts";
import { liftFence } from "../agent/fence.ts";
import { CentralKeys } from "../identity/central-keys.ts";
import { lockFolder } from "../identity/folder-lock.ts";
import { Identity } from "../identity/identity.ts";
import { makeRequest } from "../identity/proofs.ts";
import { SecretStore } from "../secret/secret-store.ts";
import { readStored, type StoredSettings, writeStored } from "../settings/stored.ts";
import type { Logger } from "../telemetry/logger.ts";
import { writeFlushed } from "../write-flushed.ts";

/** How central is reached once there is a way; what the file from central says otherwise. */
export type Way = Partial<Omit<StoredSettings, "site">>;

const pending = z.strictObject({
  request: enrollmentRequest,
  way: z.strictObject({
    centralUrl: z.string().optional(),
    centralCaFile: z.string().optional(),
    centralPin: z.string().optional(),
    proxy: z.string().optional(),
  }),
});
const imported = z.strictObject({ number: z.int() });

/**
 * The request that a person carries to central. The same one again until it is answered, so that an answer to any copy of it serves.
 * @throws PlantgateError DATA_FOLDER_LOCKED while the gateway runs
 */
export async function writeRequest(dataDir: string, way: Way): Promise<{ request: EnrollmentRequest; fingerprint: string }> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  const unlock = lockFolder(dataDir);
  try {
    const identity = Identity.open(dataDir);
    const before = readPending(dataDir)?.request;
    const request = before?.publicKey === identity.publicPem ? before : await makeRequest(identity.current);
    // taken up from wherever the answer is imported
    const ca = way.centralCaFile === undefined ? {} : { centralCaFile: resolve(way.centralCaFile) };
    writeFlushed(requestFile(dataDir), Buffer.from(JSON.stringify({ request, way: { ...way, ...ca } })));
    return { request, fingerprint: identity.fingerprint };
  } finally {
    unlock();
  }
}

export interface Imported {
  readonly site: string;
  /** Central's signing key, to be compared where the file may have been exchanged on its way. */
  readonly signingKey: string;
  /** 0: the file holds no configuration. */
  readonly revision: number;
  readonly secrets: boolean;
}

/**
 * Takes a file from central: its keys where it answers our request, its secrets, and its configuration, which the gateway puts into effect, watches and
 * keeps or gives back at its next start. Nothing of it is taken unless all of it holds.
 * @param force also a file that is older than what the folder has
 * @throws PlantgateError DATA_FOLDER_LOCKED, SIGNATURE_INVALID, KEY_UNKNOWN, CONFIG_INVALID
 */
export async function importFile(
  { dataDir, file, force }: { readonly dataDir: string; readonly file: string; readonly force: boolean },
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<Imported> {
  const unlock = lockFolder(dataDir);
  try {
    const jws = readFileSync(file, "utf8").trim();
    const identity = Identity.open(dataDir);
    const asked = readPending(dataDir);
    const claimed = claimedBy(jws, file);
    const answers = asked !== undefined && claimed.nonce === asked.request.nonce && claimed.fingerprint === identity.fingerprint;
    // a person carried our request there and this back: what it says of central's keys is what is pinned
    const centralKeys = answers
      ? await CentralKeys.judge(dataDir, { keys: claimed.signingKeys })
      : await following(dataDir, claimed);
    // by the key of now: one that central has left might be anybody's
    if (decodeProtectedHeader(jws).kid !== centralKeys.newest)
      throw new PlantgateError(
        "SIGNATURE_INVALID",
        "the file is not signed with the key that central signs with now; have a new one made",
      );
    const told = siteFile.parse(parseJson(Buffer.from(await centralKeys.verify(jws, "disk")).toString("utf8")));
    const stored = readStored(dataDir);
    if (stored && stored.site !== told.site)
      throw new PlantgateError(
        "CONFIG_INVALID",
        `${dataDir} is the data folder of site "${stored.site}", the file is for "${told.site}"`,
      );
    if (!answers && told.fingerprint !== null && told.fingerprint !== identity.fingerprint && told.secrets !== null)
      throw new PlantgateError(
        "KEY_UNKNOWN",
        "the file's secrets are sealed to another key than this gateway has; have a new file made",
      );
    const documents = await AgentDocuments.open(join(dataDir, "agent.db"));
    const state = await documents.state();
    if (!force) refuseOlder(dataDir, told, (state.trial ?? state.good)?.revision ?? 0);

    const next = told.bundle && (await judgeBundle(told.bundle, told.site, centralKeys));
    centralKeys.save();
    if (told.secrets !== null) {
      const secrets = await SecretStore.open({
        ...{ site: told.site, dataDir, clock, log, centralKeys },
        sealingKeys: () => identity.sealingKeys,
        centralNow: () => undefined,
      });
      await secrets.accept(told.secrets);
    }
    if (next && next.digest !== (state.trial ?? state.good)?.digest) {
      await documents.saveBundle(next, next.jws);
      const { revision, digest } = next;
      const { refused: _, ...kept } = state;
      await documents.saveState({
        ...kept,
        desired: { revision, digest },
        trial: { revision, digest, starts: 0, ailing: [], earlier: [] },
      });
    }
    const way = asked?.way ?? {};
    writeStored(dataDir, { centralUrl: told.central, ...stored, ...way, site: told.site });
    writeFlushed(importedFile(dataDir), Buffer.from(JSON.stringify({ number: told.number })));
    if (answers) {
      liftFence(join(dataDir, "fenced"));
      rmSync(requestFile(dataDir), { force: true });
    }
    return { site: told.site, signingKey: centralKeys.newest, revision: next?.revision ?? 0, secrets: told.secrets !== null };
  } finally {
    unlock();
  }
}

/** What a file says of itself, before anybody vouches for it. */
function claimedBy(jws: string, file: string): SiteFile {
  try {
    return siteFile.parse(decodeJwt(jws));
  } catch (cause) {
    throw new PlantgateError(
      "CONFIG_INVALID",
      `${file} is no file of central for a site: "plantgate site enroll" and "plantgate bundle export" make such`,
      {
        cause,
      },
    );
  }
}

async function following(dataDir: string, { signingKeys }: SiteFile): Promise<CentralKeys> {
  const known = CentralKeys.open({ dataDir });
  await known.learn({ keys: signingKeys }, "unsaved");
  return known;
}

async function judgeBundle(told: NonNullable<SiteFile["bundle"]>, site: string, keys: CentralKeys) {
  const parsed = bundleSchema.safeParse(parseJson(Buffer.from(await keys.verify(told.jws, "disk")).toString("utf8")));
  if (!parsed.success)
    throw new PlantgateError(
      "CONFIG_INVALID",
      `this version does not understand the file's configuration: ${describeIssues(parsed.error)}`,
    );
  if (parsed.data.site !== site || parsed.data.revision !== told.revision)
    throw new PlantgateError("SIGNATURE_INVALID", "the file's configuration is another one than it says");
  return told;
}

/** Files come in any order; what was taken last is not undone by one that was lying about. */
function refuseOlder(dataDir: string, told: SiteFile, active: number): void {
  const last = readImported(dataDir);
  const force = "; with --force it is taken all the same";
  if (told.number < last)
    throw new PlantgateError("CONFIG_INVALID", `this file was made before the one that was taken last${force}`);
  if (told.bundle && told.bundle.revision < active)
    throw new PlantgateError(
      "CONFIG_INVALID",
      `the file holds revision ${told.bundle.revision}, the gateway has ${active}${force}`,
    );
}

function requestFile(dataDir: string): string {
  return join(dataDir, "identity", "request.json");
}
function importedFile(dataDir: string): string {
  return join(dataDir, "identity", "imported.json");
}

function readPending(dataDir: string): z.infer<typeof pending> | undefined {
  const file = requestFile(dataDir);
  return existsSync(file) ? pending.safeParse(parseJson(readFileSync(file, "utf8"))).data : undefined;
}

function readImported(dataDir: string): number {
  const file = importedFile(dataDir);
  return existsSync(file) ? (imported.safeParse(parseJson(readFileSync(file, "utf8"))).data?.number ?? 0) : 0;
}
