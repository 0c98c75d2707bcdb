import { join } from "node:path";
import { expect, it } from "vitest";
import { Session } from "../../../gateway/link/session.ts";
import type { LinkAnswer, LinkRequest, Transport } from "../../../gateway/link/transport.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { PlantgateError, systemClock, toInstant, toProblem } from "../../../protocol/index.ts";
import { paced } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { until } from "../../support/process.ts";

/** A session against a central that says what the test says. */
async function openSession(
  answer: (request: LinkRequest) => Promise<LinkAnswer> | LinkAnswer,
  welcome: (hello: number) => void = () => {},
  clock = systemClock,
  more: Record<string, unknown> = {},
) {
  const folder = temporaryFolder();
  const queue = await Queue.open({ path: join(folder.path, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  const fenced: string[] = [];
  let hellos = 0;
  const transport = {
    close: () => {},
    send: async (request: LinkRequest) => {
      if (!request.path.endsWith("/sessions")) return answer(request);
      hellos += 1;
      welcome(hellos);
      const body = {
        session: `s${hellos}`,
        incarnation: "i",
        leaseSeconds: 15,
        serverTime: toInstant(0),
        watermarks: [],
        recoveryPointSeconds: 0,
        ...(hellos === 1 ? more : {}),
      };
      return { kind: "ok", status: 200, body, text: "" };
    },
  } as unknown as Transport;
  const log = openLogger({ level: "silent", site: "lyon" });
  const onFenced = async (): Promise<void> => void fenced.push(session.state.kind);
  const session = new Session({ site: "lyon", version: "0", transport, queue, clock, log, onFenced }, undefined);
  const stopping = new AbortController();
  const running = session.run(stopping.signal);
  return {
    session,
    fenced,
    hellos: () => hellos,
    signal: stopping.signal,
    async [Symbol.asyncDispose](): Promise<void> {
      stopping.abort();
      await running;
      await queue.close();
      folder[Symbol.dispose]();
    },
  };
}
const poll: LinkRequest = { method: "POST", path: "/v1/sites/lyon/downlink", silenceMs: 1000 };
const fence: LinkAnswer = { kind: "problem", problem: toProblem("fenced"), retryAfterMs: undefined };

it("takes the welcome of a newer central, which says more than it knows", async () => {
  const told = { incarnation: "i", unheardOf: 1, desired: { unheardOf: 1 } };
  await using open = await openSession(
    () => ({ kind: "ok", status: 200, body: told, text: "" }),
    () => {},
    systemClock,
    { unheardOf: { deep: 1 }, watermarks: [{ lane: "bulk", epoch: "e", watermark: 0, unheardOf: 1 }] },
  );
  const first = await open.session.online(open.signal);
  expect(first?.watermarks).toEqual([{ lane: "bulk", epoch: "e", watermark: 0 }]);
  expect(await open.session.send(first!.session, poll, open.signal)).toMatchObject({ kind: "ok", body: told });
});

it("is not fenced by a late answer to a session that it left itself", async () => {
  const late = Promise.withResolvers<LinkAnswer>();
  await using open = await openSession(() => late.promise);
  const first = await open.session.online(open.signal);
  const hanging = open.session.send(first!.session, poll, open.signal);
  open.session.renew(first!.session);
  await until(
    () => open.session.state,
    (state) => state.kind === "online" && state.session === "s2",
  );
  late.resolve(fence);
  await expect(hanging).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  expect(open.session.state).toMatchObject({ kind: "online", session: "s2" });
  expect(open.fenced).toEqual([]);
});

it("says hello again when an answer names another ledger than its hello did", async () => {
  const told = { watermark: 7, incarnation: "restored" };
  await using open = await openSession(() => ({ kind: "ok", status: 200, body: told, text: "" }));
  const first = await open.session.online(open.signal);
  await expect(open.session.send(first!.session, poll, open.signal)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  await until(
    () => open.session.state,
    (state) => state.kind === "online" && state.session === "s2",
  );
  // an answer of the ledger that it greeted
  told.incarnation = "i";
  expect(await open.session.send("s2", poll, open.signal)).toMatchObject({ kind: "ok" });
});

it("has stopped when it notes that it was fenced, as a full disk may keep that waiting, and says hello no more", async () => {
  await using open = await openSession(() => fence);
  const online = await open.session.online(open.signal);
  await expect(open.session.send(online!.session, poll, open.signal)).rejects.toMatchObject({ code: "LINK_FENCED" });
  expect(open.fenced).toEqual(["fenced"]);
  expect(open.session.state.kind).toBe("fenced");
});

it("is fenced in the middle of a session as well, where central says that another gateway is the site's by now", async () => {
  const problem = toProblem("key-unknown", "another gateway was enrolled", { moved: true });
  await using open = await openSession(() => ({ kind: "problem", problem, retryAfterMs: undefined }));
  const online = await open.session.online(open.signal);
  await expect(open.session.send(online!.session, poll, open.signal)).rejects.toMatchObject({ code: "LINK_FENCED" });
  expect(open.fenced).toEqual(["fenced"]);
});

it("stays off and tries again when central denies it, and the plant's side is not told", async () => {
  const denied: LinkAnswer = { kind: "problem", problem: toProblem("site-revoked"), retryAfterMs: undefined };
  await using open = await openSession(() => denied);
  const online = await open.session.online(open.signal);
  await expect(open.session.send(online!.session, poll, open.signal)).rejects.toMatchObject({ code: "LINK_DENIED" });
  expect(open.fenced).toEqual([]);
  await until(
    () => open.session.state,
    (state) => state.kind === "online" && state.session === "s2",
  );
});

const unreachable = (answered: boolean) => new PlantgateError("PEER_UNREACHABLE", "cut off", { context: { answered } });

it.each([
  ["refuses", (): LinkAnswer => ({ kind: "problem", problem: toProblem("key-unknown"), retryAfterMs: undefined }), 40],
  [
    "breaks off",
    (): LinkAnswer => {
      throw unreachable(false);
    },
    40,
  ],
])("says hello ever more rarely where something %s whatever follows it", async (_, answer, most) => {
  const clock = paced(10);
  await using open = await openSession(answer, undefined, clock);
  const end = clock.monotonic() + 3000;
  while (clock.monotonic() < end || open.hellos() < 2) {
    const { state } = open.session;
    if (state.kind === "online") await open.session.send(state.session, poll, open.signal).catch(() => {});
    await systemClock.sleep(1);
  }
  expect(open.hellos()).toBeLessThan(most);
});

it("P7: says hello ever more rarely where somebody answers, and lets nobody in", async () => {
  const clock = paced(40);
  let turnsAway = true;
  await using open = await openSession(
    () => fence,
    () => {
      if (turnsAway) throw unreachable(true);
    },
    clock,
  );
  await until(
    () => open.hellos(),
    (count) => count >= 3,
  );
  const end = clock.monotonic() + 60_000;
  while (clock.monotonic() < end) await systemClock.sleep(10);
  expect(open.hellos()).toBeLessThan(25);
  turnsAway = false;
  await open.session.online(open.signal);
});

it("waits for as long as central asks for that has just ended a session", async () => {
  const limited: LinkAnswer = { kind: "problem", problem: toProblem("session-unknown"), retryAfterMs: 60_000 };
  await using open = await openSession(() => limited);
  const online = await open.session.online(open.signal);
  await expect(open.session.send(online!.session, poll, open.signal)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  await systemClock.sleep(500);
  expect(open.hellos()).toBe(1);
});

it("is offline, and not refused any more, once nobody answers", async () => {
  const denial: LinkAnswer = { kind: "problem", problem: toProblem("key-unknown"), retryAfterMs: undefined };
  await using open = await openSession(
    () => denial,
    (hello) => {
      if (hello > 1) throw unreachable(false);
    },
  );
  const online = await open.session.online(open.signal);
  await expect(open.session.send(online!.session, poll, open.signal)).rejects.toMatchObject({ code: "LINK_DENIED" });
  expect(open.session.state.kind).toBe("denied");
  await until(
    () => open.session.state,
    (state) => state.kind === "offline" && state.reason === "cut off",
  );
});
