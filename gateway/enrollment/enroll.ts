import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Clock, describeError, enrollAnswer, enrollmentState, PlantgateError } from "../../protocol/index.ts";
import { liftFence } from "../agent/fence.ts";
import { CentralKeys, kidOf } from "../identity/central-keys.ts";
import { lockFolder } from "../identity/folder-lock.ts";
import { Identity } from "../identity/identity.ts";
import { proveEnrollment } from "../identity/proofs.ts";
import { type LinkAnswer, type LinkRequest, Transport } from "../link/transport.ts";
import { readDial } from "../settings/dial.ts";
import { readStored, writeStored } from "../settings/stored.ts";

export interface EnrollOptions {
  readonly dataDir: string;
  readonly centralUrl: string;
  readonly token: string;
  readonly centralCaFile?: string | undefined;
  readonly centralPin?: string | undefined;
  readonly proxy?: string | undefined;
}
/** What whoever enrolls is told meanwhile. */
export type EnrollProgress =
  | { readonly kind: "waiting"; readonly site: string; readonly fingerprint: string }
  | { readonly kind: "unreached"; readonly reason: string }
  | { readonly kind: "reached" };

const lookEveryMs = 2000;
const never = new Set(["site-revoked", "key-unknown", "site-unknown"]);

/**
 * Brings this gateway to its site: makes its keys, shows them with the token, waits until a person has confirmed them at central, pins central's
 * signing key and writes `gateway.json`. Ended at any moment and begun again with the same token it goes on where it was.
 * @throws PlantgateError PEER_REFUSED: central does not take the token or the key; SIGNATURE_INVALID: whoever answers is not the central that
 * made the token; CONFIG_INVALID: the folder belongs to another site; STOPPED
 */
export async function enroll(
  options: EnrollOptions,
  deps: { readonly clock: Clock; readonly tell: (progress: EnrollProgress) => void },
  signal: AbortSignal,
): Promise<{ readonly site: string; readonly fingerprint: string }> {
  const { dataDir, centralUrl, token } = options;
  const { clock, tell } = deps;
  const maker = token.split(".")[1];
  if (!token.startsWith("pge_") || maker === undefined)
    throw new PlantgateError("USAGE", "this is no enrollment token: plantgate site token NAME makes one");
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  const unlock = lockFolder(dataDir);
  const dial = readDial(options);
  const identity = Identity.open(dataDir);
  const ask = asking({ clock, tell }, signal);
  const open = (site: string) => new Transport({ site, centralUrl, keys: identity, clock, dial });
  const stranger = open("enrolling");
  let known: Transport | undefined;
  try {
    const json = await proveEnrollment(identity.current, token);
    const taken = enrollAnswer.safeParse(await ask(stranger, { method: "POST", path: "/v1/enroll", json, silenceMs: 15_000 }));
    if (!taken.success) throw new PlantgateError("PEER_REFUSED", `${centralUrl} does not answer as central does`);
    const { site, fingerprint, signingKeys } = taken.data;
    const at = signingKeys.findIndex(({ publicKey }) => kidOf(publicKey) === maker);
    if (at < 0 || fingerprint !== identity.fingerprint)
      throw new PlantgateError(
        "SIGNATURE_INVALID",
        `${centralUrl} is not the central that made this token: do not go on before it is clear who answers there`,
      );
    const chain = await CentralKeys.judge(dataDir, { keys: signingKeys.slice(at) });
    const stored = readStored(dataDir);
    if (stored && stored.site !== site)
      throw new PlantgateError(
        "CONFIG_INVALID",
        `${dataDir} is the data folder of site "${stored.site}", the token is for "${site}": give it another folder`,
      );
    known = open(site);
    if (taken.data.state === "pending") {
      tell({ kind: "waiting", site, fingerprint });
      await confirmed(site, known, ask, clock, signal);
    }
    chain.save();
    const { centralCaFile, centralPin, proxy } = options;
    writeStored(dataDir, { site, centralUrl: new URL(centralUrl).origin, centralCaFile, centralPin, proxy });
    liftFence(join(dataDir, "fenced"));
    return { site, fingerprint };
  } finally {
    stranger.close();
    known?.close();
    unlock();
  }
}

type Ask = (transport: Transport, request: LinkRequest) => Promise<unknown>;

async function confirmed(site: string, transport: Transport, ask: Ask, clock: Clock, signal: AbortSignal): Promise<void> {
  const path = `/v1/sites/${encodeURIComponent(site)}/enrollment`;
  for (;;) {
    const told = enrollmentState.safeParse(await ask(transport, { method: "GET", path, silenceMs: 15_000 }));
    if (told.success && told.data.state !== "pending") return;
    await clock.sleep(lookEveryMs, signal);
  }
}

/** Asks until central answers: a way that does not open yet is no reason to give up what a person began. */
function asking(deps: { readonly clock: Clock; readonly tell: (progress: EnrollProgress) => void }, signal: AbortSignal): Ask {
  let unreached: string | undefined;
  return async (transport, request) => {
    for (;;) {
      if (signal.aborted) throw new PlantgateError("STOPPED", "given up; the same command goes on where it was");
      let waitMs = lookEveryMs;
      try {
        const answer = await transport.send(request, signal);
        if (unreached !== undefined) deps.tell({ kind: "reached" });
        unreached = undefined;
        if (answer.kind === "ok") return answer.body;
        waitMs = waitOf(answer);
      } catch (error) {
        if (signal.aborted) continue;
        if (!(error instanceof PlantgateError) || error.disposition !== "retry") throw error;
        const reason = describeError(error);
        if (reason !== unreached) deps.tell({ kind: "unreached", reason });
        unreached = reason;
      }
      await deps.clock.sleep(waitMs, signal);
    }
  };
}

/** How long to wait before central is asked again. @throws PlantgateError PEER_REFUSED where that would not help */
function waitOf({ problem, retryAfterMs }: LinkAnswer & { kind: "problem" }): number {
  if (problem.status === 429 || problem.status >= 500) return Math.max(lookEveryMs, retryAfterMs ?? 0);
  const reason = problem.detail ?? problem.title;
  const again = never.has(problem.code) ? "; the key was turned down, or the site was revoked meanwhile" : "";
  throw new PlantgateError("PEER_REFUSED", `central refuses: ${reason}${again}`);
}
