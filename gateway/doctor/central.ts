import type { X509Certificate } from "node:crypto";
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { z } from "zod";
import {
  compareVersions,
  describeError,
  enrollmentState,
  type Finding,
  fault,
  ok,
  PlantgateError,
  parseJson,
  releaseVersion,
  signingChain,
  stopping,
  unchecked,
  warning,
} from "../../protocol/index.ts";
import type { CentralKeys } from "../identity/central-keys.ts";
import { Transport } from "../link/transport.ts";
import { readDial } from "../settings/dial.ts";
import type { GatewaySettings } from "../settings/schema.ts";
import { version } from "../version.ts";
import { isAuthorityOver } from "./certificates.ts";
import { authorityOver, isOutOfDate } from "./dates.ts";
import type { Facts } from "./facts.ts";
import { get, isAwayStatus } from "./get.ts";
import { hostOf, isDateObjection, lookAt } from "./look.ts";

/** What came of asking central; nothing that it was asked has an effect. */
export interface CentralProbe {
  readonly findings: readonly Finding[];
  /** How far our clock is behind central's; undefined: not known, and `why`. */
  readonly skewMs?: number;
  readonly why?: string;
  /** What it shows, where it speaks TLS and its key is not pinned: pinned, a date says nothing. */
  readonly certificate?: X509Certificate;
  /** Its signing key is not the one that is pinned here: nothing that it signed can be judged. */
  readonly isAnother?: boolean;
  /** It knows no such site, or not our key. */
  readonly isStranger?: boolean;
}

const health = z.looseObject({ status: z.literal("up"), incarnation: z.string(), version: z.string().optional() });
/** Past that a clock is wrong, and everything that a date decides with it. */
export const wrongClockMs = 60_000;
/** A gateway that has just started is on its way. */
const firstMinuteMs = 60_000;

/** One after the other, from the name to our key: the first thing that is wrong is the one that is said. */
export async function probeCentral(facts: Facts): Promise<CentralProbe> {
  const settings = await facts.settings();
  if (!settings.known) return notAsked(settings.why);
  const { centralUrl, proxy } = settings.value;
  const host = hostOf(proxy ?? centralUrl);
  if (!(await facts.resolves(host))) return notAsked(`the name ${host} does not resolve`);
  const url = new URL(centralUrl);
  const port = portOf(url);
  let dial: ReturnType<typeof readDial>;
  try {
    dial = readDial(settings.value);
  } catch (error) {
    const said = stopping(describeError(error), "Put the file with the certificates there, or enroll again with --central-ca");
    return { findings: [said], why: "central's certificate cannot be judged" };
  }
  const seen = await lookAt({ host: hostOf(centralUrl), port, secure: url.protocol === "https:" }, dial);
  if (seen.kind === "closed") {
    const way = proxy === undefined ? "" : ` through the proxy ${new URL(proxy).host}`;
    const advice = seen.isPlain
      ? `Is this central's address? Another server may stand there; one that speaks plain HTTP is named as http://${url.hostname}:${port}`
      : proxy === undefined
        ? `Is central up, and does a firewall let this machine out to ${url.host}? Only outbound HTTPS is needed`
        : "Is this the right proxy, and may this machine use it for central's address? The settings name it (proxy)";
    return { findings: [fault(`${url.host} is not reached${way}: ${seen.reason}`, advice)], why: "central is not reached" };
  }
  const { socket, certificate, objection } = seen;
  try {
    const wrong = judgeServer(settings.value, certificate, objection);
    const before = facts.place.clock.now();
    const answer = await getHealth(socket, url);
    const after = facts.place.clock.now();
    const loose = looseSkew(answer, (before + after) / 2);
    const isOver = isAuthorityOver(settings.value, after + (loose.skewMs ?? 0));
    if (wrong)
      return {
        findings: [
          isOver
            ? unchecked("the authority by which it is judged has expired: nothing that only central may hear was said")
            : wrong,
        ],
        why: "what answers is not known to be central",
        ...loose,
      };
    if (answer.kind === "failed") {
      const why = `${url.host} does not answer as central does: ${answer.reason}`;
      const scheme = url.protocol === "http:" ? `. Where HTTPS is spoken there, its address is https://${url.host}` : "";
      const advice = answer.isAway
        ? `Central hangs or is down behind what answers there: look at central, its log and what stands before it${scheme}`
        : `Is this central's address? A proxy or another server may stand there${scheme}`;
      return { findings: [fault(why, advice)], why };
    }
    const { skewMs } = loose;
    const shown = settings.value.centralPin === undefined && certificate ? { certificate } : {};
    const clock = skewMs === undefined ? { why: "central does not tell its time" } : { skewMs };
    const now = after + (skewMs ?? 0);
    if (shown.certificate && isDateObjection(objection)) {
      const isRight = skewMs === undefined ? await facts.isKept() : Math.abs(skewMs) <= wrongClockMs;
      const dates = judgeChainDates(isOver || isOutOfDate(shown.certificate, now), isRight);
      const another = await askForChain(facts, settings.value);
      return { ...clock, ...shown, findings: another ? [dates, another] : [dates], isAnother: another !== undefined };
    }
    const asked = await askAsOurselves(facts, settings.value, skewMs ?? 0);
    const older = await judgeVersion(facts, answer.version);
    const findings = older ? [...asked.findings.filter(({ level }) => level !== "ok"), older] : asked.findings;
    return { ...clock, ...shown, ...asked, findings };
  } finally {
    socket.destroy();
  }
}

function portOf({ port, protocol }: URL): number {
  return Number(port || (protocol === "https:" ? 443 : 80));
}

/** By what calls itself central: of one that nobody vouches for it is better than nothing, as a clock is not set by it. */
function looseSkew(answer: HealthAnswer, now: number): { readonly skewMs?: number } {
  // the header has whole seconds
  const date = answer.kind === "central" ? Date.parse(answer.date ?? "") + 500 : Number.NaN;
  return Number.isFinite(date) ? { skewMs: Math.round(date - now) } : {};
}

function notAsked(why: string): CentralProbe {
  return { findings: [unchecked(why)], why };
}

/** @returns what keeps a gateway from saying anything to it; dates are judged elsewhere */
function judgeServer(
  { centralPin }: GatewaySettings,
  certificate: X509Certificate | undefined,
  objection: string | undefined,
): Finding | undefined {
  if (centralPin !== undefined) {
    const key = certificate?.publicKey.export({ type: "spki", format: "der" });
    const found = key === undefined ? "none" : createHash("sha256").update(key).digest("base64");
    if (found === centralPin) return undefined;
    const advice =
      "If central's TLS key was changed by its people, enroll again with the new --central-pin; else somebody stands between";
    return fault(`the server's public key is not the pinned one: SHA-256 ${found}`, advice);
  }
  if (objection === undefined || isDateObjection(objection)) return undefined;
  const advice =
    "Is this central's address? A private CA has to be known: enroll again with --central-ca; a proxy that opens TLS shows certificates of its own";
  return fault(`its certificate is not trusted: ${objection}`, advice);
}

/** Of what OpenSSL finds out of date by our clock. */
function judgeChainDates(isNamed: boolean, isClockRight: boolean): Finding {
  const untold = "nothing that only central may hear was said";
  if (isNamed) return unchecked(`its certificate, or its authority's, is out of date: ${untold}`);
  if (!isClockRight)
    return unchecked(`by this machine's clock its certificate, or an authority in its chain, is out of date: ${untold}`);
  const advice =
    "Renew that authority, or what lies between it and the certificate, where central's TLS ends; a new one of your own has to be known here: enroll again with --central-ca";
  return fault(`${authorityOver}: ${untold}`, advice);
}

type HealthAnswer =
  | { readonly kind: "central"; readonly date: string | undefined; readonly version: string | undefined }
  | { readonly kind: "failed"; readonly reason: string; readonly isAway: boolean };

async function getHealth(socket: Socket, url: URL): Promise<HealthAnswer> {
  const got = await get(socket, new URL("/health", url));
  if (got.kind === "failed") return got;
  const said = got.status === 200 ? health.safeParse(parseJson(got.text)).data : undefined;
  if (said) return { kind: "central", date: got.date, version: said.version };
  return { kind: "failed", reason: `HTTP ${got.status} to GET /health`, isAway: isAwayStatus(got.status) };
}

/** Its chain of signing keys is for everybody: it needs no token, and none is said where a date is in doubt. */
async function askForChain(facts: Facts, settings: GatewaySettings): Promise<Finding | undefined> {
  const url = new URL("/v1/signing-keys", settings.centralUrl);
  const seen = await lookAt({ host: hostOf(settings.centralUrl), port: portOf(url), secure: true }, readDial(settings));
  if (seen.kind === "closed") return undefined;
  const got = await get(seen.socket, url);
  return got.kind === "answer" && got.status === 200 ? judgeChain(await facts.centralKeys(), parseJson(got.text)) : undefined;
}

/** Whether our key counts there, and its signing key is the one that is pinned here: two calls that only read. */
async function askAsOurselves(
  facts: Facts,
  settings: GatewaySettings,
  skewMs: number,
): Promise<Pick<CentralProbe, "findings" | "isAnother" | "isStranger">> {
  const { site, centralUrl } = settings;
  const [keys, centralKeys] = await Promise.all([facts.keys(), facts.centralKeys()]);
  if (!keys.known) return { findings: [ok(`${centralUrl} answers`), unchecked(`whether our key counts there: ${keys.why}`)] };
  const [current, ...others] = keys.value;
  if (!current) return { findings: [unchecked("there is no key to ask with")] };
  const transport = new Transport({
    ...{ site, centralUrl, clock: facts.place.clock, dial: readDial(settings) },
    // nothing is settled by that: the gateway does it itself
    keys: { current, others },
  });
  try {
    const signal = AbortSignal.timeout(8000);
    const limits = { method: "GET", silenceMs: 5000, longestMs: 7000 } as const;
    const path = `/v1/sites/${encodeURIComponent(site)}/enrollment`;
    const answer = await transport.send({ ...limits, path }, signal);
    const asksForChain = transport.send({ ...limits, path: "/v1/signing-keys" }, signal);
    // a refusal is said also where the next call does not come through
    const chain = await (answer.kind === "problem" ? asksForChain.catch(() => undefined) : asksForChain);
    const another = chain?.kind === "ok" ? await judgeChain(centralKeys, chain.body) : undefined;
    const isAnother = another !== undefined;
    if (answer.kind === "problem") {
      const isStranger = ["site-unknown", "key-unknown"].includes(answer.problem.code);
      const refusal = refused(answer.problem, site, skewMs);
      // a central that was set up anew knows us as little as we know it
      return { findings: another && !isStranger ? [refusal, another] : [refusal], isStranger, isAnother };
    }
    const state = enrollmentState.safeParse(answer.body).data?.state;
    const findings = [another];
    if (state === "pending")
      findings.push(
        warning(
          "this gateway's key waits for a person who confirms it",
          `At central: plantgate site confirm ${site} --fingerprint ${current.fingerprint}`,
        ),
      );
    findings.push(await judgeLink(facts));
    const wrong = findings.filter((each) => each !== undefined);
    if (wrong.length > 0) return { findings: wrong, isAnother };
    return { findings: [ok(`${centralUrl} answers, and knows this gateway as ${site}`)] };
  } catch (error) {
    const advice = "Try again; if it stays so, look at central's log";
    return { findings: [fault(`central's API is not reached: ${describeError(error)}`, advice)] };
  } finally {
    transport.close();
  }
}

function refused(problem: { code: string; title: string; detail?: string | undefined }, site: string, skewMs: number): Finding {
  // its tokens are not taken because of the clock, which has a check of its own
  if (problem.code === "token-expired" && Math.abs(skewMs) > wrongClockMs)
    return unchecked("whether our key counts there: the clocks differ too much for a token");
  const reason = `central answers, and refuses this gateway: ${problem.detail ?? problem.title} (${problem.code})`;
  const advice: Record<string, string> = {
    "key-unknown": `Was it enrolled anew elsewhere? Else: plantgate site token ${site} at central, then plantgate enroll here`,
    "site-revoked": `Its key was revoked at central. If that was a mistake: plantgate site token ${site} there, then plantgate enroll here`,
    "site-unknown": `Central knows no site ${site}: is this the right central? Else add it there and enroll again`,
    "not-allowed": "A person at central decides: plantgate site keys there shows the keys",
  };
  if (problem.code === "busy" || problem.code === "limited") return warning(reason, "Central is too busy; try again later");
  return fault(reason, advice[problem.code] ?? "Look at central's log");
}

async function judgeChain(
  centralKeys: { readonly known: true; readonly value: CentralKeys } | { readonly known: false; readonly why: string },
  body: unknown,
): Promise<Finding | undefined> {
  const chain = signingChain.safeParse(body);
  if (!centralKeys.known || !chain.success) return undefined;
  try {
    await centralKeys.value.learn(chain.data, "unsaved");
    return undefined;
  } catch (error) {
    if (!(error instanceof PlantgateError)) throw error;
    return fault(
      `its signing key is not the one that is pinned here: ${describeError(error)}`,
      "If this is the right central (it may have been set up anew), enroll this gateway again; else correct its address",
    );
  }
}

/** Central first, then gateways (ADR 0141): by minor versions, as patches of one count as the same. */
async function judgeVersion(facts: Facts, centrals: string | undefined): Promise<Finding | undefined> {
  const running = await facts.running();
  const own = running.kind === "running" ? running.health.version : version;
  if (![own, centrals].every((each) => releaseVersion.safeParse(each).success)) return undefined;
  if (compareVersions(minorOf(own), minorOf(centrals as string)) <= 0) return undefined;
  return warning(
    `central is of version ${centrals}, and this gateway of ${own}: it may say what that central does not know`,
    "Upgrade central (plantgate upgrade FILE there): central first, then its gateways",
  );
}

function minorOf(said: string): string {
  return `${said.split(".").slice(0, 2).join(".")}.0`;
}

/** What the running gateway says of its own link, where central answers us. */
async function judgeLink(facts: Facts): Promise<Finding | undefined> {
  const running = await facts.running();
  if (running.kind !== "running") return undefined;
  const { link, reason } = running.health;
  // a fence has its own finding, at the queue
  if (link === "online" || link === "fenced") return undefined;
  const { startedAt } = running.status ?? {};
  if (startedAt !== undefined && facts.place.clock.now() - Date.parse(startedAt) < firstMinuteMs) return undefined;
  return warning(
    `central answers, yet the gateway's own link is ${link}${reason === undefined ? "" : `: ${reason}`}`,
    "It tries again by itself; if it stays so, look at its log",
  );
}

export async function checkCentral(facts: Facts): Promise<readonly Finding[]> {
  return (await facts.central()).findings;
}
