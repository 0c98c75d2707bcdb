import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { z } from "zod";
import type { SitesAnswer } from "./central-api.ts";
import { describeProgress, tallyOf, waitingOf } from "./progress.ts";
import type { Stage } from "./stage.ts";

const warmUpMs = 20_000;
const cutMs = 62_000;
const killAfterMs = 15_000;
const downMs = 5_000;
const afterMs = 25_000;
/** A busy computer makes less in the same time: the load goes on until there is enough to judge by, but not for ever. */
const enough = { orders: 200, samples: 20_000 };
const longestAfterMs = 120_000;
const drainDeadlineMs = 120_000;
/** After the load: how long nothing may move, and how long it may take altogether. */
const stillMs = 60_000;
const settleDeadlineMs = 300_000;

const verdict = z.object({
  business: z.object({
    sent: z.int(),
    recorded: z.int(),
    delivered: z.int(),
    lost: z.int(),
    duplicates: z.int(),
    reordered: z.int(),
  }),
  samples: z.object({ accepted: z.int(), recorded: z.int(), lost: z.int(), gaps: z.int() }),
});

/**
 * The scripted outage: under load, Lyon loses central for more than a minute, its gateway is killed and started again meanwhile, the link comes
 * back, the backlog drains, and the verifier judges. The last line printed is the result as JSON.
 * @returns 0 when the verifier found nothing lost, doubled or out of order
 */
export async function runOutage(
  stage: Stage,
  { folder, out }: { folder: string; out: (text: string) => unknown },
  signal: AbortSignal,
): Promise<number> {
  const since = new Date();
  const say = (text: string): unknown => out(`\n== ${text}\n`);
  const look = async (): Promise<SitesAnswer | undefined> => {
    const answer = await stage.central.sites().catch(() => undefined);
    if (answer) out(`${describeProgress(tallyOf(stage), answer, since)}\n`);
    return answer;
  };
  const watchFor = async (ms: number): Promise<void> => {
    for (const end = Date.now() + ms; Date.now() < end; ) {
      await look();
      await sleep(Math.max(0, Math.min(1000, end - Date.now())), undefined, { signal });
    }
  };

  say("Warming up: orders go out, facts come back");
  await waitFor(
    async () => {
      await look();
      return tallyOf(stage).facts >= 20;
    },
    { withinMs: 90_000, what: "facts to flow", signal },
  );
  await watchFor(warmUpMs);

  const before = lyonOf(await look());
  say(`Cutting Lyon's link to central (gateway ${stage.pids.lyon}); warehouse, terminals and presses go on`);
  stage.link.cut("blackhole");
  const cutAt = performance.now();
  await watchFor(killAfterMs);
  out(`       Lyon's own queue: ${await depthOf(stage.gatewayFolder("lyon"))} messages wait on its disk\n`);

  const killedPid = await stage.killGateway("lyon");
  say(`Killed Lyon's gateway with SIGKILL: process ${killedPid}`);
  await watchFor(downMs);
  const restartedPid = stage.startGateway("lyon");
  say(`Started Lyon's gateway again: process ${restartedPid}; central is still out of reach`);
  let backlogPeak = 0;
  do {
    await watchFor(Math.max(0, Math.min(10_000, cutMs - (performance.now() - cutAt))));
    backlogPeak = await depthOf(stage.gatewayFolder("lyon"));
    out(`       Lyon's own queue: ${backlogPeak} messages wait on its disk\n`);
  } while (performance.now() - cutAt < cutMs);
  stage.link.restore();
  const cutSeconds = Math.round((performance.now() - cutAt) / 1000);
  say(`The link is back after ${cutSeconds} s; Lyon holds ${backlogPeak} messages`);
  const backAt = performance.now();
  let liveAfter: number | undefined;
  await waitFor(
    async () => {
      const lyon = lyonOf(await look());
      if (!lyon || lyon.lastHeardAt === before?.lastHeardAt || lyon.pid !== restartedPid) return false;
      const transactions = waitingOf(lyon, "transaction");
      const telemetry = waitingOf(lyon, "telemetry");
      backlogPeak = Math.max(backlogPeak, transactions.waiting + telemetry.waiting);
      if (transactions.lagSeconds < 3) liveAfter ??= (performance.now() - backAt) / 1000;
      out(
        `       transactions ${transactions.lagSeconds.toFixed(1)} s behind, telemetry ${telemetry.lagSeconds.toFixed(1)} s behind (${telemetry.waiting} samples wait)\n`,
      );
      return transactions.lagSeconds < 3 && telemetry.lagSeconds < 3;
    },
    { withinMs: drainDeadlineMs, what: "Lyon's backlog to drain", signal },
  );
  const drainSeconds = Math.round((performance.now() - backAt) / 100) / 10;
  say(`Lyon is level again after ${drainSeconds} s; its transactions were after ${(liveAfter ?? drainSeconds).toFixed(1)} s`);
  await watchFor(afterMs);
  for (const end = performance.now() + longestAfterMs - afterMs; performance.now() < end; await watchFor(1000)) {
    const { accepted, samples } = tallyOf(stage);
    if (accepted >= enough.orders && samples >= enough.samples) break;
  }

  say("Stopping the load; waiting until everything under way has arrived");
  stage.quiet();
  const until = new Date();
  const drained = await settle(stage, { look, until, signal });
  if (!drained) out("Not everything arrived in time; the verifier says what is missing\n");

  say("Verifying: the systems' own files against central's ledger");
  const planFile = join(folder, "run.json");
  writeFileSync(planFile, JSON.stringify(stage.runPlan(until), undefined, 2));
  const { text, code } = await runVerifier(stage, planFile, signal);
  const lines = text.trimEnd().split("\n");
  const judged = verdict.parse(JSON.parse(lines.pop() ?? ""));
  out(`${lines.join("\n")}\n\n`);
  out(`${JSON.stringify({ ...judged, killedPid, restartedPid, cutSeconds, backlogPeak, drainSeconds })}\n`);
  return code === 0 && drained ? 0 : 1;
}

function lyonOf(answer: SitesAnswer | undefined): SitesAnswer["sites"][number] | undefined {
  return answer?.sites.find(({ name }) => name === "lyon");
}

/** Nothing is with a sender, in a queue, on its way or waiting for a delivery. Presses never stop: their last seconds are left out. */
function isDrained(stage: Stage, answer: SitesAnswer | undefined, until: Date): boolean {
  const { orders, accepted, open } = tallyOf(stage);
  if (!answer || Date.now() - until.getTime() < 6000 || open > 0 || accepted < orders) return false;
  return answer.sites.every(
    (site) =>
      site.condition !== "unknown" &&
      site.lastHeardAt !== null &&
      Date.parse(site.lastHeardAt) > until.getTime() &&
      waitingOf(site, "transaction").waiting === 0 &&
      waitingOf(site, "telemetry").lagSeconds < 3 &&
      site.downlinkWaiting === 0 &&
      (site.deliveries?.waiting ?? 0) === 0,
  );
}

/** Waits until all is drained, as long as something moves. @returns false when it gave up */
async function settle(
  stage: Stage,
  { look, until, signal }: { look: () => Promise<SitesAnswer | undefined>; until: Date; signal: AbortSignal },
): Promise<boolean> {
  const deadline = performance.now() + settleDeadlineMs;
  let movedAt = performance.now();
  let before = "";
  for (;;) {
    const answer = await look();
    if (isDrained(stage, answer, until)) return true;
    const { accepted, open } = tallyOf(stage);
    const now = JSON.stringify([
      accepted,
      open,
      answer?.sites.map((site) => [site.deliveries, site.downlinkWaiting, waitingOf(site, "transaction").waiting]),
    ]);
    if (now !== before) movedAt = performance.now();
    before = now;
    if (performance.now() > Math.min(deadline, movedAt + stillMs)) return false;
    await sleep(1000, undefined, { signal });
  }
}

/** @throws Error naming `what` when time ran out */
async function waitFor(
  done: () => Promise<boolean>,
  { withinMs, what, signal }: { withinMs: number; what: string; signal: AbortSignal },
): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`waited ${withinMs / 1000} s for ${what}`);
    await sleep(1000, undefined, { signal });
  }
}

const depth = z.object({ lanes: z.array(z.object({ lane: z.string(), last: z.int(), acknowledged: z.int() })) });

/** Messages that wait for central in a gateway's queue, as `plantgate queue depth` shows them. */
async function depthOf(data: string): Promise<number> {
  const cli = join(import.meta.dirname, "../cli/launch.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, [cli, "queue", "depth", "--data", data, "--json"]);
  const { lanes } = depth.parse(JSON.parse(stdout));
  return lanes.filter(({ lane }) => lane !== "inbound").reduce((sum, { last, acknowledged }) => sum + last - acknowledged, 0);
}

async function runVerifier(stage: Stage, planFile: string, signal: AbortSignal): Promise<{ text: string; code: number }> {
  const program = join(import.meta.dirname, "verifier/main.ts");
  const args = [program, "--plan", planFile, "--central", stage.central.url, "--token-file", stage.tokenFile, "--json"];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { maxBuffer: 16 * 1024 * 1024, signal }, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === "number" ? error.code : 2) : 0;
      if (code > 1) reject(new Error(`the verifier could not judge: ${stderr.trim()}`));
      else resolve({ text: stdout, code });
    });
  });
}
