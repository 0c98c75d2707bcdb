import { join } from "node:path";
import { expect, it } from "vitest";
import { LinkProgress } from "../../../gateway/link/progress.ts";
import type { Session } from "../../../gateway/link/session.ts";
import { runStatus } from "../../../gateway/link/status.ts";
import type { LinkAnswer } from "../../../gateway/link/transport.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { PlantgateError, type StatusReport, statusReport, systemClock, toProblem } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { until } from "../../support/process.ts";

/** Status reports of a gateway that are answered by the test. */
async function openStatus(answer: (report: number) => LinkAnswer) {
  const folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  const reports: StatusReport[] = [];
  const broken: string[] = [];
  const slept: number[] = [];
  const session = {
    online: async () => ({ kind: "online", session: "s1", watermarks: [] }),
    broken: (_: string, reason: string) => void broken.push(reason),
    send: async (_: string, { json }: { json: unknown }) => {
      reports.push(statusReport.parse(json));
      return answer(reports.length);
    },
  } as unknown as Session;
  const log = openLogger({ level: "silent", site: "lyon" });
  const clock = {
    ...systemClock,
    sleep: (ms: number, signal?: AbortSignal): Promise<void> => {
      slept.push(ms);
      return systemClock.sleep(5, signal);
    },
  };
  const progress = new LinkProgress({ ...systemClock, monotonic: () => performance.now() + 60_000 * reports.length }, log);
  const stopping = new AbortController();
  const running = runStatus(
    {
      ...{ site: "lyon", version: "1.0.0", startedAt: 0, queue, session, clock, log, progress },
      connectors: () => [],
      configuration: () => ({ reported: 0, state: "none" }),
      repeats: () => 0,
      ofUnknownAge: () => 0,
      expired: () => 0,
    },
    stopping.signal,
  );
  return {
    ...{ reports, broken, slept, progress },
    async [Symbol.asyncDispose](): Promise<void> {
      stopping.abort();
      await running;
      await queue.close();
      folder[Symbol.dispose]();
    },
  };
}
const taken: LinkAnswer = { kind: "ok", status: 200, body: {}, text: "" };

it("gives a session up in which not even a report comes through, and not for one that central refuses", async () => {
  await using open = await openStatus((report) => {
    if (report === 2) throw new PlantgateError("PEER_UNREACHABLE", "the proxy answered 502", { context: { answered: true } });
    return report === 1 ? { kind: "problem", problem: toProblem("limited"), retryAfterMs: 7000 } : taken;
  });
  await until(
    () => open.reports.length,
    (count) => count >= 3,
  );
  expect(open.broken).toEqual(["the proxy answered 502"]);
  // as long as central asks for, and as usual otherwise
  expect(open.slept.slice(0, 2)).toEqual([7000, 2000]);
});

it("says why nothing that central sends is taken", async () => {
  await using open = await openStatus(() => taken);
  open.progress.hindered("downlink", "lane inbound has used up its budget");
  await until(
    () => open.reports.at(-1)?.downlink?.stalled,
    (stalled) => stalled?.startsWith("lane inbound has used up its budget (for ") === true,
  );
});
