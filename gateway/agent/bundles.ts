import { type Bundle, PlantgateError } from "../../protocol/index.ts";
import type { Session } from "../link/session.ts";
import type { AgentDocuments, StoredRevision } from "./documents.ts";
import { digestOf, type ReaderDeps, readBundle } from "./signed-bundle.ts";

/**
 * A revision that central wants. Its number does not name its content for ever: a central that was restored gives the numbers that it lost
 * to something else, and only the digest (of the bundle's JSON, as central signed it) tells them apart.
 */
export interface DesiredRevision {
  readonly revision: number;
  /** Undefined where central did not say, or what was wanted is not on disk. */
  readonly digest?: string | undefined;
}

/** Where central does not state the digest, the number has to do. */
export function isWanted({ revision, digest }: DesiredRevision, wanted: DesiredRevision): boolean {
  return revision === wanted.revision && (wanted.digest === undefined || digest === wanted.digest);
}

export interface BundlesDeps extends ReaderDeps {
  readonly documents: AgentDocuments;
  readonly session: Session;
}

/** Bundles, on disk and at central. */
export class Bundles {
  readonly #deps: BundlesDeps;

  constructor(deps: BundlesDeps) {
    this.#deps = deps;
  }

  /** One that is on disk. @throws PlantgateError CONFIG_INVALID, SIGNATURE_INVALID */
  async stored(revision: StoredRevision): Promise<Bundle> {
    const jws = await this.#onDisk(revision);
    if (jws === undefined) throw new PlantgateError("CONFIG_INVALID", "the bundle on disk is missing");
    return readBundle(jws, "disk", this.#deps);
  }

  /**
   * As central signed it: from disk where it is there with this digest, else from central. Undefined: the signal aborted.
   * @throws PlantgateError PEER_BUSY, PEER_UNREACHABLE, LINK_DENIED, LINK_FENCED
   */
  async find({ revision, digest }: DesiredRevision, signal: AbortSignal): Promise<string | undefined> {
    const { session, site } = this.#deps;
    const found = digest === undefined ? undefined : await this.#onDisk({ revision, digest });
    if (found !== undefined) return found;
    const online = await session.online(signal);
    if (!online) return undefined;
    const path = `/v1/sites/${encodeURIComponent(site)}/bundles/${revision}`;
    const answer = await session.send(online.session, { method: "GET", path, silenceMs: 30_000 }, signal);
    if (answer.kind === "problem") {
      const context = answer.retryAfterMs === undefined ? {} : { waitMs: answer.retryAfterMs };
      throw new PlantgateError("PEER_BUSY", answer.problem.detail ?? answer.problem.title, { context });
    }
    return typeof answer.body === "object" && answer.body !== null && "jws" in answer.body
      ? String(answer.body.jws)
      : answer.text.trim();
  }

  /** Judges it and keeps it, flushed; nothing that runs has changed. @throws PlantgateError SIGNATURE_INVALID, CONFIG_INVALID; what the disk throws */
  async stage(wanted: DesiredRevision, jws: string): Promise<{ readonly stored: StoredRevision; readonly bundle: Bundle }> {
    const digest = digestOf(jws);
    const from = wanted.digest !== undefined && (await this.#onDisk({ revision: wanted.revision, digest })) ? "disk" : "central";
    const bundle = await readBundle(jws, from, this.#deps);
    const { revision } = bundle;
    if (revision !== wanted.revision)
      throw new PlantgateError("SIGNATURE_INVALID", `central sent revision ${revision} for ${wanted.revision}`);
    if (wanted.digest !== undefined && digest !== wanted.digest)
      throw new PlantgateError(
        "SIGNATURE_INVALID",
        `central wants revision ${revision} with the digest ${wanted.digest}, and sent one with ${digest}`,
      );
    const stored = { revision, digest };
    await this.#deps.documents.saveBundle(stored, jws);
    return { stored, bundle };
  }

  /** Nothing else is taken for it: what lies there may be damaged. */
  async #onDisk(revision: StoredRevision): Promise<string | undefined> {
    const jws = await this.#deps.documents.bundle(revision);
    return jws !== undefined && digestOf(jws) === revision.digest ? jws : undefined;
  }
}
