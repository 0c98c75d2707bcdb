import { generateKeyPairSync } from "node:crypto";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { type CloudEvent, type Lane, systemClock } from "../../protocol/index.ts";
import { eventually, startTestCentral, type TestCentral } from "../support/central.ts";
import { temporaryFolder } from "../support/folder.ts";
import type { TestGateway, TestLane } from "../support/gateway-client.ts";
import { hastyClock } from "../support/ledger.ts";
import { pick, sample } from "../support/messages.ts";
import { freePort } from "../support/mosquitto.ts";
import { siteDocuments } from "../support/site-documents.ts";
import type { Fate } from "./faulty-transport.ts";
import { Plant } from "./plant.ts";

/**
 * What may happen while a plant and central exchange messages. `image` and `setBack`: a snapshot of the plant's disk is taken, and the disk is
 * set back to it. `backup` and `restore`: the same of central.
 */
type Move =
  | { readonly kind: "append"; readonly lane: "transaction" | "telemetry"; readonly count: number }
  | { readonly kind: "order"; readonly count: number }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "cut" | "mend" | "restart" | "image" | "setBack" | "backup" | "restore" };

const moves = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("append" as const),
        lane: fc.constantFrom("transaction" as const, "telemetry" as const),
        count: fc.integer({ min: 1, max: 30 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("order" as const), count: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 120 }) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom("cut", "mend", "restart", "image", "setBack", "backup", "restore"),
      }),
    },
  ),
  { minLength: 3, maxLength: 25 },
) as fc.Arbitrary<Move[]>;

const fates = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant<Fate>("through") },
    { weight: 4, arbitrary: fc.constantFrom<Fate>("lost", "unanswered", "doubled", "late", "slow") },
  ),
  { minLength: 1, maxLength: 12 },
);

interface Ledgered {
  readonly site: string;
  readonly lane: Lane;
  readonly event: CloudEvent;
}

/** Both sides as they are, and what each of them should hold. */
class Exchange {
  readonly central: TestCentral;
  readonly plant: Plant;
  readonly #hq: TestGateway;
  readonly #hqLane: TestLane;
  readonly #backup: string;
  /** Of each lane, what the plant's disk holds or held in this history of it, oldest first. */
  #appended: { readonly lane: Lane; readonly id: string }[] = [];
  #imaged = 0;
  #everAppended = new Set<string>();
  readonly #ordered: string[] = [];
  #hasBackup = false;
  #hasImage = false;

  constructor(central: TestCentral, plant: Plant, hq: TestGateway, folder: string) {
    this.central = central;
    this.plant = plant;
    this.#hq = hq;
    this.#hqLane = hq.lane("transaction");
    this.#backup = join(folder, "backup");
  }

  async make(move: Move): Promise<void> {
    const { plant, central } = this;
    switch (move.kind) {
      case "append": {
        const make = move.lane === "telemetry" ? sample : (site: string, n: number) => pick(site, `T-${n}`);
        const events = Array.from({ length: move.count }, (_, index) => make("lyon", this.#everAppended.size + index));
        await plant.append(move.lane, events);
        for (const { id } of events) {
          this.#appended.push({ lane: move.lane, id });
          this.#everAppended.add(id);
        }
        return;
      }
      case "order":
        for (let index = 0; index < move.count; index++) {
          const event = pick("hq", `O-${this.#ordered.length}`);
          this.#hqLane.append([event]);
          this.#ordered.push(event.id);
        }
        return this.hqSends();
      case "wait":
        return new Promise((resolve) => setTimeout(resolve, move.ms));
      case "cut":
        return plant.transport.cut(true);
      case "mend":
        return plant.transport.cut(false);
      case "restart":
        return plant.restart();
      case "image":
        await plant.image();
        this.#imaged = this.#appended.length;
        this.#hasImage = true;
        return;
      case "setBack":
        if (!this.#hasImage) return;
        await plant.setBackToImage();
        this.#appended = this.#appended.slice(0, this.#imaged);
        return;
      case "backup":
      case "restore": {
        if (move.kind === "restore" && !this.#hasBackup) return;
        await central.stop();
        const [from, to] = move.kind === "backup" ? [central.dataDir, this.#backup] : [this.#backup, central.dataDir];
        rmSync(to, { recursive: true, force: true });
        cpSync(from, to, { recursive: true });
        this.#hasBackup = true;
        await central.restart();
        return this.hqSends();
      }
    }
  }

  /** The other site sends what central does not have, as a gateway does at each hello. */
  async hqSends(): Promise<void> {
    const { body } = await this.#hq.hello([this.#hqLane]);
    const watermark = body.watermarks[0]?.watermark ?? 0;
    if (watermark < this.#hqLane.last) await this.#hq.send(this.#hqLane, this.#hqLane.batch(watermark + 1));
  }

  async recorded(): Promise<Ledgered[]> {
    const { body } = await this.central.admin<{ messages: Ledgered[] }>("GET", "/v1/messages?after=0&limit=1000&site=lyon");
    return body.messages;
  }

  /** Calm: everything that waits arrives. */
  async settle(): Promise<void> {
    const { plant } = this;
    plant.transport.calm();
    await eventually(
      async () => ({ depth: (await plant.depth()).lanes, inbound: plant.inbound().length }),
      ({ depth, inbound }) =>
        inbound >= this.#ordered.length &&
        depth.every(({ lane, last, acknowledged }) => lane === "inbound" || acknowledged >= last),
    );
    await eventually(
      async () => {
        const ids = new Set((await this.recorded()).map(({ event }) => event.id));
        return this.#appended.filter(({ id }) => !ids.has(id));
      },
      (missing) => missing.length === 0,
    );
  }

  async check(): Promise<void> {
    const recorded = await this.recorded();
    const ids = recorded.map(({ event }) => event.id);
    expect(new Set(ids).size, "recorded twice").toBe(ids.length);
    expect(
      ids.filter((id) => !this.#everAppended.has(id)),
      "made up",
    ).toEqual([]);
    for (const lane of ["transaction", "telemetry"] as const) {
      const own = this.#appended.filter((each) => each.lane === lane).map(({ id }) => id);
      const kept = new Set(own);
      const seen = recorded.filter((each) => each.lane === lane && kept.has(each.event.id)).map(({ event }) => event.id);
      expect(seen, `order of ${lane}`).toEqual(own);
    }
    expect(this.plant.inbound(), "what central sent").toEqual(this.#ordered);
    expect(this.plant.fences).toEqual([]);
    const { body } = await this.central.admin<{ lanes: { missing: number; summary: string }[] }>(
      "GET",
      "/v1/completeness?site=lyon",
    );
    expect(body.lanes.filter(({ missing }) => missing !== 0)).toEqual([]);
  }
}

const runs = Number(process.env.PLANTGATE_MODEL_RUNS ?? 12);

it("exchanges each message once and in order, whatever the network loses, doubles or reorders, and whichever side is set back", async () => {
  await fc.assert(
    fc.asyncProperty(moves, fates, async (given, network) => {
      using folder = temporaryFolder();
      const { publicKey, privateKey } = generateKeyPairSync("ed25519");
      const clock = hastyClock(20);
      await using central = await startTestCentral({
        parts: { clock },
        settings: { port: await freePort(), recoveryPointSeconds: 3600 },
      });
      const added = await central.admin("POST", "/v1/sites", {
        name: "lyon",
        publicKey: publicKey.export({ type: "spki", format: "pem" }),
      });
      expect(added.status).toBe(201);
      const hq = await central.addSite("hq");
      for (const [site, options] of [
        [
          "lyon",
          {
            send: ["pick.confirmed", "equipment.sampled"],
            receive: ["pick.confirmed"],
            consumes: [{ type: "pick.confirmed", sites: "hq" }],
          },
        ],
        ["hq", { send: ["pick.confirmed"] }],
      ] as const) {
        const files = siteDocuments({ site, ...options });
        const pushed = await central.admin("POST", `/v1/sites/${site}/revisions`, { files });
        expect(pushed.status, JSON.stringify(pushed.body)).toBeLessThan(300);
      }
      const plant = new Plant({
        site: "lyon",
        folder: folder.path,
        centralUrl: () => central.url,
        privateKey,
        fates: network,
        clock: { ...clock, now: systemClock.now },
      });
      await plant.start();
      try {
        const exchange = new Exchange(central, plant, hq, folder.path);
        for (const move of given) await exchange.make(move);
        await exchange.settle();
        await exchange.check();
      } finally {
        await plant.stop();
      }
    }),
    { numRuns: runs, endOnFailure: true, interruptAfterTimeLimit: 600_000 },
  );
}, 900_000);
