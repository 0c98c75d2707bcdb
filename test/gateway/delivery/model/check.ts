import { expect } from "vitest";
import type { Delivery } from "../../../../gateway/queue/change.ts";
import { type CloudEvent, findMessageType } from "../../../../protocol/index.ts";
import { deadLettersIn, linesIn } from "../../../support/queue-store.ts";
import type { Call, Peer } from "./peer.ts";
import { deadlineMs, type Place } from "./plant.ts";
import type { Subject, Taken } from "./subject.ts";

interface Report {
  readonly messageId: string;
  readonly connector: string;
  readonly destination: string;
  readonly outcome: "delivered" | "accepted" | "superseded" | "refused" | "expired" | "unknown" | "parked";
  readonly supersededBy?: string;
  readonly detail?: string;
}

/** Commits, ways and central's whole seconds: by so much a deadline may be missed. */
const slackMs = 3000;
const holding = ["unknown", "parked"];

/** What one message met at one of its destinations. */
interface Story {
  readonly taken: Taken;
  readonly place: Place;
  readonly peer: Peer;
  readonly calls: readonly Call[];
  readonly effects: number;
  readonly reports: readonly Report[];
  readonly row: Delivery | undefined;
  readonly letters: number;
}

/** Everything that is promised of deliveries, of what lies on disk now and of what the receivers saw. */
export function check(subject: Subject): void {
  const reports = linesIn(subject.store, "transaction")
    .map((line) => JSON.parse(line) as CloudEvent)
    .filter(({ type }) => type === "mfg.delivery.completed.v1")
    .map(({ data }) => data as unknown as Report);
  const rows = subject.rows();
  const letters = deadLettersIn(subject.store).map((letter) => ({ ...letter, text: Buffer.from(letter.body).toString("utf8") }));
  const { dispatched } = subject.store.position("inbound");
  for (const taken of subject.taken) {
    const { id, type } = taken.event;
    const own = reports.filter(({ messageId }) => messageId === id);
    const ownRows = rows.filter(({ messageId }) => messageId === id);
    if (taken.sequence > dispatched) {
      expect([own, ownRows], `${id} waits in its lane`).toEqual([[], []]);
      continue;
    }
    const found = [...new Set([...own.map(nameOf), ...ownRows.map(nameOf)])].toSorted();
    const allowed = taken.places.map((places) => places.map(nameOf).toSorted());
    expect(allowed, `${id}: each of its destinations`).toContainEqual(found);
    const places = taken.places.flat();
    for (const name of found) {
      const place = places.find((each) => nameOf(each) === name) as Place;
      const peer = subject.peers.get(place.connector) as Peer;
      // a message has one destination of each connector
      const calls = peer.calls.filter(({ message }) => message.event.id === id);
      const story: Story = {
        taken,
        place,
        peer,
        calls,
        effects: calls.filter(({ effect }) => effect).length,
        reports: own.filter((each) => nameOf(each) === name),
        row: ownRows.find((each) => nameOf(each) === name),
        letters: letters.filter(({ connector, text }) => connector === place.connector && text === taken.line).length,
      };
      checkEnd(subject, story);
      checkRepeats(subject, story);
      if (place.expires) checkDeadline(subject, story);
    }
    expect(findMessageType(type)).toBeDefined();
  }
  for (const peer of subject.peers.values()) checkOrder(subject, peer);
}

const nameOf = (each: { connector: string; target?: string; destination?: string }): string =>
  `${each.connector} ${each.target ?? each.destination}`;

/** It ends once, in a way that is true; or it waits, and shows for whom (P2). */
function checkEnd(subject: Subject, { taken, place, peer, effects, reports, row, letters }: Story): void {
  const { id, type } = taken.event;
  const where = `${id} to ${nameOf(place)}`;
  const ends = reports.filter(({ outcome }) => !holding.includes(outcome));
  expect(ends.length + (row ? 1 : 0), `${where} ends once, or waits: ${JSON.stringify([ends, row])}`).toBe(1);
  if (row && holding.includes(row.state)) expect(reports.at(-1)?.outcome, `${where}: a person is told`).toBe(row.state);
  const [end] = ends;
  const decided = subject.decided.filter(({ messageId, connector }) => messageId === id && connector === place.connector);
  const said = (what: string): boolean => decided.at(-1)?.decision === what;
  expect(letters, `${where}: a dead letter where it ended as one`).toBe(
    end && ["refused", "expired"].includes(end.outcome) ? 1 : 0,
  );
  switch (end?.outcome) {
    case "delivered":
      return expect(effects > 0 || taken.again || said("done"), `${where} is delivered`).toBe(true);
    case "accepted":
      return expect(peer.words.get(id), `${where}: the receiver said yes`).toBe(true);
    case "superseded": {
      expect(findMessageType(type)?.state, `${where}: a state`).toBe(true);
      const newer = subject.taken.find(({ event }) => event.id === end.supersededBy);
      expect(newer?.event, `${where}: by a newer one`).toMatchObject({ type, partitionkey: taken.event.partitionkey });
      return expect(newer?.sequence).toBeGreaterThan(taken.sequence);
    }
    case "refused": {
      if (said("discard")) return;
      const gone = /the configuration does not have (this destination|the connector "line") any more/.test(end.detail ?? "");
      expect(
        gone || peer.refused.has(id) || peer.words.get(id) === false || taken.poison === "refused",
        `${where}: by whom`,
      ).toBe(true);
      if (place.effect !== "idempotent") expect(effects, `${where}: what arrived is not said to be refused`).toBe(0);
      return;
    }
    case "expired":
      return expect(effects, `${where}: what was carried out is not said to be missed`).toBe(0);
  }
}

/** The effect is there once, unless a person had it repeated, who was told (P3, rule 8). */
function checkRepeats(subject: Subject, { taken, place, effects }: Story): void {
  if (place.effect === "idempotent") return;
  const repeats = subject.decided.filter(
    ({ messageId, connector, decision }) => messageId === taken.event.id && connector === place.connector && decision === "retry",
  ).length;
  const first = taken.again && place.effect === "once" ? 0 : 1;
  expect(effects, `${taken.event.id} at ${nameOf(place)}, ${place.effect}`).toBeLessThanOrEqual(first + repeats);
}

/** Never late, never missed for want of a clock that can be trusted (P10, rule 10). */
function checkDeadline(subject: Subject, { taken, place, calls, reports }: Story): void {
  const where = `${taken.event.id} at ${nameOf(place)}`;
  for (const { at } of calls) expect(at - taken.since, `${where}: called in time`).toBeLessThanOrEqual(deadlineMs + slackMs);
  if (!reports.some(({ outcome }) => outcome === "expired")) return;
  const old = subject.trueNow() - taken.since > deadlineMs - slackMs;
  expect(old || (!taken.dated && subject.reboots > taken.reboots), `${where}: expired for a reason`).toBe(true);
}

/** Of each key, later messages take effect behind earlier ones (P4). */
function checkOrder(subject: Subject, peer: Peer): void {
  const keys = Map.groupBy(
    peer.calls.filter(({ effect }) => effect),
    ({ message }) => message.key,
  );
  for (const [key, calls] of keys) {
    const sequences = calls.map(({ message }) => subject.taken.find(({ event }) => event.id === message.event.id)?.sequence ?? 0);
    expect(sequences, `${peer.name}: order of ${key}`).toEqual(sequences.toSorted((a, b) => a - b));
  }
}

/** Once nothing disturbs any more, all is delivered but what a receiver does not get through or a person has to decide, and what waits behind it. */
export function checkCalm(subject: Subject): void {
  const rows = subject.rows();
  const heads = new Map<string, Delivery>();
  for (const row of rows) if (!heads.has(`${row.connector} ${row.key}`)) heads.set(`${row.connector} ${row.key}`, row);
  for (const [key, { messageId, state }] of heads) {
    const { poison } = subject.taken.find(({ event }) => event.id === messageId) as Taken;
    const stuck = holding.includes(state) || poison === "busy" || poison === "away";
    expect(stuck, `${key}: ${messageId} holds its key, as ${state}`).toBe(true);
  }
  expect(subject.store.position("inbound").dispatched).toBe(subject.store.position("inbound").last);
}
