import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import * as ledger from "../../central/ledger/batch.ts";
import { inflate } from "../../central/ledger/inflate.ts";
import { walkChain } from "../../central/ledger/overlap.ts";
import { parseDownlink } from "../../gateway/link/downlink-answer.ts";
import * as queue from "../../gateway/queue/frame.ts";
import {
  batchHeaders,
  batchLimits,
  bundle,
  type CloudEvent,
  chainGenesis,
  chainNext,
  cloudEvent,
  downlinkAnswer,
  downlinkRequest,
  dryRunAnswer,
  dryRunCandidate,
  hello,
  helloAnswer,
  introduction,
  messageTypes,
  type ProblemCode,
  parseEvent,
  problem,
  problemCodes,
  shadowReport,
  statusReport,
  toProblem,
  watermarkAnswer,
} from "../../protocol/index.ts";

/** What version 1 of the wire looks like in bytes. A change here is a change for gateways and centrals that run already. */
const folder = join(import.meta.dirname, "../fixtures/wire/v1");
const golden = <Value = unknown>(name: string): Value =>
  JSON.parse(readFileSync(join(folder, `${name}.golden.json`), "utf8")) as Value;

interface Batch {
  readonly headers: Record<string, string>;
  readonly genesis: string;
  readonly frames: readonly { readonly lines: readonly string[]; readonly base64: string; readonly chain: string }[];
}

/** The messages with a shape of their own, and the keys of it that a sender may leave away. */
const messages: readonly { name: string; schema: z.ZodType; optional: readonly string[]; open?: readonly string[] }[] = [
  { name: "hello", schema: hello, optional: ["epochs.0.predecessor"] },
  { name: "hello-answer", schema: helloAnswer, optional: [] },
  { name: "watermark-answer", schema: watermarkAnswer, optional: [] },
  { name: "key-introduction", schema: introduction, optional: ["moved"] },
  { name: "downlink-request", schema: downlinkRequest, optional: ["ack.epoch", "knownRelease"] },
  {
    name: "dry-run-answer",
    schema: dryRunAnswer,
    optional: ["result.flows.0.fields.0.before", "result.flows.0.fields.0.after"],
  },
  { name: "shadow-report", schema: shadowReport, optional: ["flows.0.fields.0.before", "flows.0.fields.0.after"] },
  {
    name: "status-report",
    schema: statusReport,
    optional: [
      "lanes.0.oldestAt",
      "lanes.0.stalled",
      "deliveries.oldestAt",
      "deliveries.expired",
      ...["digest", "reason", "refused", "refused.digest", "since", "secrets"].map((key) => `configuration.${key}`),
      ...["platform", "installed", "upgrade"],
      ...["version", "reason", "at", "bytes", "size"].map((key) => `upgrade.${key}`),
      "downlink",
      "connectors.0.reason",
    ],
  },
];

const eventOptional = ["flow", "idempotencykey", "inputhash", "targetsite", "correlationid", "causationid", "sequence"];
const quantityOptional = (path: string): string[] => [`${path}.srcValue`, `${path}.srcUnit`];
/** Per message type, the keys of `data` that a sender may leave away. */
const dataOptional: Readonly<Record<string, readonly string[]>> = {
  "mfg.production-order.released.v1": [
    ...["needBy", "bomRevision", "routingRevision", "targetLot"],
    ...["components.0.operation", "components.0.location", "operations.0.name"],
    ...quantityOptional("quantity"),
    ...quantityOptional("components.0.quantity"),
  ],
  "mfg.pick.confirmed.v1": [
    ...["stagingId", "lot", "serial", "fromBin", "toSupplyArea", "qtyRequested", "sscc", "operator"],
    ...quantityOptional("qtyPicked"),
    ...quantityOptional("qtyRequested"),
  ],
  "mfg.shortage.reported.v1": ["taskId", "expectedAt", "substituteAllowed", ...quantityOptional("qtyShort")],
  "mfg.material.consumed.v1": ["opSeq", "lot", "supplyArea", "backflush", "reversalOf", ...quantityOptional("qty")],
  "mfg.finished-goods.confirmed.v1": [
    ...["opSeq", "lot", "serials", "workUnit", "toLocation", "reversalOf", "genealogy.0.lot"],
    ...quantityOptional("goodQty"),
    ...quantityOptional("genealogy.0.qty"),
  ],
  "mfg.scrap.reported.v1": [
    ...["opSeq", "lot", "workUnit", "location", "reason.text", "reason.category"],
    ...quantityOptional("qty"),
  ],
  "mfg.schedule.revised.v1": ["frozenUntil", "basedOn", "supersedes", "entries.0.setupMin"],
  "mfg.item.published.v1": ["gtin", "shelfLifeDays", "effectiveFrom", "conversions.0.rounding"],
  "mfg.equipment.sampled.v1": ["dataType", "unitCode", "statusCode", "serverTimestamp", "node", "overflow"],
  "mfg.equipment.sampling-interrupted.v1": [],
  "mfg.delivery.completed.v1": ["detail"],
};

describe("what a gateway and central say to each other", () => {
  it.each(messages)("$name is read and written back as it was", ({ name, schema }) => {
    expect(JSON.stringify(schema.parse(golden(name)))).toBe(JSON.stringify(golden(name)));
  });

  it.each(messages)("$name is refused with a key missing", ({ name, schema, optional }) => {
    expectWhole(golden(name), (value) => schema.safeParse(value).success, optional);
  });

  it.each(messages)("$name of a newer peer is read without what is not known here", ({ name, schema }) => {
    for (const path of objects(golden(name))) expect(schema.parse(withUnknown(golden(name), path))).toEqual(golden(name));
  });

  it.each(messages)("$name of an older peer is read without what it does not say yet", ({ name, schema, optional }) => {
    const older = optional
      .map((path) => path.split("."))
      .toSorted((a, b) => b.length - a.length)
      .reduce<unknown>((value, path) => without(value, path), golden(name));
    expect(schema.parse(older)).toEqual(older);
  });

  it("a downlink's answer is read and written back, its events as their senders recorded them", () => {
    const answer = golden<{ messages: { event: CloudEvent }[] }>("downlink-answer");
    expect(JSON.stringify(downlinkAnswer.parse(answer))).toBe(JSON.stringify(answer));
    for (const { event } of answer.messages) expect(parseEvent(JSON.stringify(event))).toEqual(event);
    const frame = { ...answer, messages: answer.messages.map((message) => ({ ...message, event: "any JSON" })) };
    const optional = [
      "asks",
      "desired.digest",
      "desired.secrets",
      "desired.release",
      "desired.release.older",
      "messages.0.again",
    ];
    expectWhole(frame, (value) => downlinkAnswer.safeParse(value).success, optional);
  });

  it("a downlink's answer of a newer central is taken without what this gateway does not know", () => {
    const answer = golden<{ asks: object[] }>("downlink-answer");
    const known = parseDownlink(answer);
    expect(known).toMatchObject({ desired: { revision: 4 }, asks: answer.asks, messages: [{ sequence: 42, again: true }] });
    const event = (path: Path): boolean => path.includes("event");
    for (const path of objects(answer).filter((each) => !event(each)))
      expect(parseDownlink(withUnknown(answer, path)), path.join(".")).toEqual(known);
    expect(parseDownlink({ ...answer, asks: [...answer.asks, { id: "2", kind: "unheard-of" }] })).toEqual(known);
  });

  it("a downlink's answer of an older central is taken without what that does not say", () => {
    const answer = golden<{ desired: object }>("downlink-answer");
    expect(parseDownlink({ ...answer, desired: { revision: 4 }, asks: undefined })).toMatchObject({
      desired: { revision: 4 },
      asks: [],
    });
  });

  it.each(["bundle-lyon", "bundle-hq"])("%s is read and written back as it was", (name) => {
    expect(JSON.stringify(bundle.parse(golden(name)))).toBe(JSON.stringify(golden(name)));
  });

  it("a candidate of a dry run is no bundle, and a bundle no candidate", () => {
    const { revision: _, ...candidate } = golden<Record<string, unknown>>("bundle-lyon");
    const asked = { kind: "DryRun", id: "3c0e7d52-41d1-4a0e-8f0b-7f2b9f1e5d06", site: "lyon", messages: 1000, bundle: candidate };
    expect(dryRunCandidate.parse(asked)).toEqual(asked);
    expect(bundle.safeParse(asked).success).toBe(false);
    expect(bundle.safeParse({ ...candidate, ...asked, revision: 1 }).success).toBe(false);
    expect(dryRunCandidate.safeParse(golden("bundle-lyon")).success).toBe(false);
  });

  it("a bundle of an earlier version, which has a date, is read from a gateway's disk", () => {
    const earlier = { ...(golden("bundle-lyon") as object), createdAt: "2026-01-31T08:00:00.000Z" };
    expect(bundle.safeParse(earlier).success).toBe(true);
  });

  it.each(["bundle-lyon", "bundle-hq"])("%s is refused with a key missing or one too many", (name) => {
    const value = golden<Record<string, unknown> & { connectors: object; flows: object }>(name);
    const accepts = (candidate: unknown): boolean => bundle.safeParse(candidate).success;
    for (const key of Object.keys(value)) expect(accepts(without(value, [key])), key).toBe(false);
    for (const path of objects(value).filter(([first]) => first !== "codes" && first !== "connectors" && first !== "flows"))
      expect(accepts(withUnknown(value, path)), path.join(".")).toBe(false);
    for (const key of Object.keys(value.connectors)) {
      expect(accepts(withUnknown(value, ["connectors", key])), key).toBe(false);
      expect(accepts(withUnknown(value, ["connectors", key, "config"])), key).toBe(false);
    }
    for (const key of Object.keys(value.flows)) expect(accepts(withUnknown(value, ["flows", key])), key).toBe(false);
  });
});

describe("a problem", () => {
  const problems = golden<Record<string, { detail: string; watermark?: number; problems?: unknown[] }>>("problems");

  it("has one code of those that are known, and no code is without an example", () => {
    expect(Object.keys(problems)).toEqual(Object.keys(problemCodes));
  });

  it.each(Object.keys(problems))("%s is made and read as it was", (code) => {
    const { detail, watermark, problems: every } = problems[code]!;
    const extra = { ...(watermark === undefined ? {} : { watermark }), ...(every === undefined ? {} : { problems: every }) };
    expect(JSON.stringify(toProblem(code as ProblemCode, detail, extra))).toBe(JSON.stringify(problems[code]));
    expect(problem.parse(problems[code])).toEqual(problems[code]);
    for (const key of ["type", "title", "status", "code"])
      expect(problem.safeParse(without(problems[code], [key])).success, key).toBe(false);
  });

  it("may say more than its reader knows", () => {
    expect(problem.parse({ ...problems.gap, instance: "urn:uuid:1" })).toMatchObject({ instance: "urn:uuid:1" });
  });
});

describe("a message", () => {
  const names = readdirSync(join(folder, "events")).map((name) => name.replace(".golden.json", ""));

  it("of every type has an example", () => {
    expect(names.toSorted()).toEqual(messageTypes.map(({ type }) => type).toSorted());
  });

  it.each(names)("%s is read and written back as it was", (name) => {
    const line = JSON.stringify(golden(`events/${name}`));
    expect(JSON.stringify(parseEvent(line))).toBe(line);
    expect(JSON.stringify(cloudEvent.parse(JSON.parse(line)))).toBe(line);
  });

  it.each(names)("%s is refused with a key missing or one too many", (name) => {
    const optional = [...eventOptional, ...(dataOptional[name] ?? []).map((path) => `data.${path}`)];
    expectStrict(golden(`events/${name}`), isEvent, optional);
  });
});

describe("a batch", () => {
  const { headers, frames, genesis } = golden<Batch>("batch");
  const bodies = frames.map(({ base64 }) => Buffer.from(base64, "base64"));
  const body = Buffer.concat(bodies);
  const epoch = headers[batchHeaders.epoch] as string;
  const head: ledger.BatchHead = {
    site: "lyon",
    lane: "transaction",
    session: headers[batchHeaders.session] as string,
    epoch,
    firstSequence: Number(headers[batchHeaders.firstSequence]),
    count: Number(headers[batchHeaders.count]),
    chain: headers[batchHeaders.chain] as string,
    entries: ledger.parseEntries(headers[batchHeaders.frames] as string) ?? [],
    ageMs: Number(headers[batchHeaders.age]),
  };

  it("has the headers that the contract names, and no other of ours", () => {
    expect(Object.keys(headers).filter((name) => name.startsWith("plantgate-"))).toEqual(Object.values(batchHeaders));
    expect(Number(headers["content-length"])).toBe(body.byteLength);
  });

  it("begins its chain at a value that follows from site, lane and epoch", () => {
    expect(chainGenesis("lyon", "transaction", epoch).toString("hex")).toBe(genesis);
  });

  it("has the chain that its frames give", () => {
    let chain = chainGenesis("lyon", "transaction", epoch);
    for (const [index, frame] of frames.entries()) {
      chain = chainNext(chain, bodies[index]!);
      expect(chain.toString("hex")).toBe(frame.chain);
    }
    expect(chain.toString("hex")).toBe(headers[batchHeaders.chain]);
  });

  it("has the chain that central walks, and what central asks of head and body", () => {
    expect(chainsOf(body)).toEqual([
      [1002, frames[0]!.chain],
      [1003, frames[1]!.chain],
    ]);
    expect(ledger.headProblem(head, body.byteLength)).toBeUndefined();
    const inflatedBytes = Buffer.byteLength(frames.flatMap(({ lines }) => lines.map((line) => `${line}\n`)).join(""));
    expect(ledger.judgeContent(head, body)).toEqual({ kind: "whole", inflatedBytes });
  });

  it("holds its lines, whoever inflates it, each a message without a sequence", () => {
    for (const [index, { lines }] of frames.entries()) {
      expect(queue.decodeLines(bodies[index]!, lines.length)).toEqual(lines);
      expect(inflate(bodies[index]!, batchLimits.inflatedBytes).toString("utf8")).toBe(lines.map((line) => `${line}\n`).join(""));
      for (const line of lines) expect(parseEvent(line).sequence).toBeUndefined();
    }
  });

  it("is another one with a byte changed", () => {
    const changed = Buffer.from(body);
    changed[changed.length - 1]! ^= 1;
    expect(chainsOf(changed).at(-1)?.[1]).not.toBe(headers[batchHeaders.chain]);
  });

  it("says the same of its frames and holes, read and written back", () => {
    const hole = `40~damaged~${frames[0]!.chain}`;
    for (const text of [headers[batchHeaders.frames] as string, `2/737,${hole},1/587`, hole])
      expect(ledger.formatEntries(ledger.parseEntries(text) ?? [])).toBe(text);
    for (const text of [
      "",
      "2",
      "2/0",
      "0/2",
      "2/737,",
      "1~gone~00",
      `1~nothing~${frames[0]!.chain}`,
      `0~size~${frames[0]!.chain}`,
    ])
      expect(ledger.parseEntries(text), text).toBeUndefined();
  });

  /** The chain's values that central finds. */
  function chainsOf(bytes: Buffer): [number, string][] {
    const found: [number, string][] = [];
    const chainBefore = chainGenesis("lyon", "transaction", epoch).toString("hex");
    walkChain({ first: head.firstSequence, chainBefore, entries: head.entries, body: bytes }, (sequence, chain) =>
      found.push([sequence, chain]),
    );
    return found;
  }
});

type Path = readonly string[];

/** Every key but the optional ones has to be there. */
function expectWhole(value: unknown, accepts: (value: unknown) => boolean, optional: readonly string[]): void {
  expect(accepts(value)).toBe(true);
  const dispensable = keys(value).filter((path) => accepts(without(value, path)));
  expect(dispensable.map((path) => path.join(".")).toSorted()).toEqual([...optional].toSorted());
}

/** And no object takes a key that is not its own. */
function expectStrict(value: unknown, accepts: (value: unknown) => boolean, optional: readonly string[]): void {
  expectWhole(value, accepts, optional);
  const open = objects(value).filter((path) => accepts(withUnknown(value, path)));
  expect(open.map((path) => path.join("."))).toEqual([]);
}

function isEvent(value: unknown): boolean {
  try {
    parseEvent(JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** The paths of all objects in a value, its own first. */
function objects(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.entries(value).flatMap(([key, child]) => objects(child, [...path, key]));
  return Array.isArray(value) ? inner : [path, ...inner];
}

function keys(value: unknown): Path[] {
  return objects(value).flatMap((path) => Object.keys(at(value, path)).map((key) => [...path, key]));
}

function at(value: unknown, path: Path): Record<string, unknown> {
  return path.reduce((inner, key) => (inner as Record<string, unknown>)[key], value) as Record<string, unknown>;
}

function without(value: unknown, path: Path): unknown {
  const copy = structuredClone(value);
  delete at(copy, path.slice(0, -1))[path.at(-1) as string];
  return copy;
}

function withUnknown(value: unknown, path: Path): unknown {
  const copy = structuredClone(value);
  at(copy, path).unheardOf = 1;
  return copy;
}
