import { expect, it } from "vitest";
import { type Admission, Admissions } from "../../../central/http/admission.ts";

const mebibyte = 1024 * 1024;

function admissions(options: { batchMs?: () => number; random?: () => number } = {}) {
  let now = 0;
  const admitted = new Admissions({
    clock: { monotonic: () => now },
    load: () => ({ batchMs: options.batchMs?.() ?? 1, lagMs: 0 }),
    random: options.random ?? (() => 0.999),
  });
  return {
    admit: (site: string, bytes = 1, lane: "transaction" | "telemetry" | "bulk" = "telemetry", firstSequence = 1) =>
      admitted.admit({ site, lane, firstSequence, bytes }),
    pass: (ms: number) => {
      now += ms;
    },
    pressed: () => admitted.pressed,
  };
}
function release(admission: Admission): void {
  if (admission.kind !== "admitted") throw new Error(admission.kind);
  admission.release(false);
}

it("lets a lane have four batches in work, a site eight, and takes the next one when one is done", () => {
  const { admit } = admissions();
  const first = admit("a");
  for (let more = 0; more < 3; more++) expect(admit("a").kind).toBe("admitted");
  expect(admit("a")).toMatchObject({ kind: "limited" });
  for (let more = 0; more < 4; more++) expect(admit("a", 1, "transaction").kind).toBe("admitted");
  expect(admit("a", 1, "bulk")).toMatchObject({ kind: "limited" });
  expect(admit("b").kind).toBe("admitted");
  release(first);
  release(first);
  expect(admit("a").kind).toBe("admitted");
  expect(admit("a").kind).toBe("limited");
});

it("lets a site have an eighth of the bytes, and keeps an eighth of them all for small batches of facts", () => {
  const { admit } = admissions();
  for (let batch = 0; batch < 2; batch++) expect(admit("a", 4 * mebibyte).kind).toBe("admitted");
  expect(admit("a", 4 * mebibyte, "bulk").kind).toBe("limited");
  const others = ["b", "c", "d", "e", "f"].flatMap((site) => [admit(site, 4 * mebibyte), admit(site, 4 * mebibyte)]);
  expect(others.every(({ kind }) => kind === "admitted")).toBe(true);
  expect(admit("g", 4 * mebibyte).kind).toBe("busy");
  expect(admit("g", 4 * mebibyte, "transaction").kind).toBe("busy");
  expect(admit("g", 1000, "transaction", 5).kind).toBe("admitted");
  // room for those who were refused before
  expect(admit("g", 4 * mebibyte).kind).toBe("admitted");
});

it("does not take batches for work that come over slow links", () => {
  const load = { ms: 0 };
  const { admit, pass } = admissions({ batchMs: () => load.ms });
  const slow = Array.from({ length: 100 }, (_, index) => admit(`slow-${index}`, 50_000));
  load.ms = 5;
  expect(admit("a").kind).toBe("busy");
  pass(1000);
  expect(admit("b").kind).toBe("admitted");
  for (const admission of slow) if (admission.kind === "admitted") admission.arrived();
  expect(admit("c").kind).toBe("busy");
  for (const admission of slow) release(admission);
  expect(admit("d").kind).toBe("admitted");
});

it("presses while sixteen batches or more are in work, and not by those that come over slow links", () => {
  const { admit, pass, pressed } = admissions();
  const work = Array.from({ length: 16 }, (_, index) => {
    expect(pressed()).toBe(false);
    return admit(`site-${index}`);
  });
  expect(pressed()).toBe(true);
  pass(1000);
  expect(pressed()).toBe(false);
  for (const admission of work) if (admission.kind === "admitted") admission.arrived();
  expect(pressed()).toBe(true);
  release(work[0]!);
  expect(pressed()).toBe(false);
});

it("turns no batch away twice while there is any room: what was refused before is let in before others", () => {
  const load = { ms: 0 };
  const { admit } = admissions({ batchMs: () => load.ms });
  admit("z");
  load.ms = 500;
  expect([admit("a").kind, admit("a", 1, "telemetry", 1001).kind, admit("b").kind]).toEqual(["busy", "busy", "busy"]);
  load.ms = 5000;
  // another batch of its window is not the one that was refused
  expect(admit("a", 1, "telemetry", 2001).kind).toBe("busy");
  expect([admit("a").kind, admit("a", 1, "telemetry", 1001).kind]).toEqual(["admitted", "admitted"]);
  // its turn is used
  expect(admit("a").kind).toBe("busy");
  expect(admit("c").kind).toBe("busy");
});

it("lets a batch in again whose predecessor was refused, as that one is", () => {
  const load = { ms: 0 };
  const { admit } = admissions({ batchMs: () => load.ms });
  const later = admit("a", 1, "telemetry", 1001);
  load.ms = 500;
  expect(admit("a").kind).toBe("busy");
  // it waited for the first one, in vain
  if (later.kind === "admitted") later.release(true);
  expect([admit("a").kind, admit("a", 1, "telemetry", 1001).kind]).toEqual(["admitted", "admitted"]);
});

it("tells a batch behind a refused one to come back with it, and lets both in then", () => {
  const load = { ms: 0 };
  const { admit, pass } = admissions({ batchMs: () => load.ms, random: () => 0.5 });
  const work = admit("z");
  load.ms = 5000;
  const head = admit("a");
  const seconds = head.kind === "busy" ? head.retryAfterSeconds : 0;
  expect(seconds).toBeGreaterThan(1);
  pass(1000);
  release(work);
  // there is room again, but without the first one there is nothing to do
  expect(admit("a", 1, "telemetry", 1001)).toEqual({ kind: "busy", retryAfterSeconds: seconds - 1 });
  expect(admit("a", 1, "transaction", 1001).kind).toBe("admitted");
  pass((seconds - 1) * 1000);
  expect([admit("a", 1, "telemetry", 1001).kind, admit("a").kind]).toEqual(["admitted", "admitted"]);
});

it("waits in vain for no batch that does not come back", () => {
  const load = { ms: 0 };
  const { admit, pass } = admissions({ batchMs: () => load.ms });
  const work = admit("z");
  load.ms = 500;
  expect(admit("a").kind).toBe("busy");
  release(work);
  pass(60_000);
  expect(admit("a", 1, "telemetry", 1001).kind).toBe("admitted");
});

it("spreads those that it refuses over the longer a time, the more they are", () => {
  const load = { ms: 0 };
  const { admit, pass } = admissions({ batchMs: () => load.ms });
  admit("z");
  load.ms = 1000;
  const seconds = (site: string): number => {
    const admission = admit(site);
    return admission.kind === "admitted" ? 0 : admission.retryAfterSeconds;
  };
  const few = seconds("site-0");
  for (let site = 1; site < 300; site++) seconds(`site-${site}`);
  const many = seconds("site-300");
  expect(few).toBeGreaterThanOrEqual(1);
  expect(many).toBeGreaterThan(few);
  pass(60_000);
  expect(seconds("site-301")).toBeLessThan(many);
});
